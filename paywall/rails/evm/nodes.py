"""The nodes that the settings name."""

from __future__ import annotations

from paywall import conf
from paywall.rails.evm.rpc import Node


def of(network: str) -> Node | None:
    """What reads a network and sends to it, or None where the site has no node."""
    settings = conf.get()
    urls = settings.rpc_nodes(network)
    return Node(urls, settings.rpc_timeout) if urls else None
