"""The nodes that the settings name."""

from __future__ import annotations

import math

from paywall import conf
from paywall.rails.evm.rpc import Node, NodeError


def of(network: str, patience: float = math.inf) -> Node | None:
    """What reads a network and sends to it, or None where the site has no node. Who is asked
    answers within `patience` seconds, and within `RPC_TIMEOUT`."""
    settings = conf.get()
    urls = settings.rpc_nodes(network)
    return Node(urls, min(patience, settings.rpc_timeout)) if urls else None


def require(network: str) -> Node:
    """The same where there must be one. Raises `NodeError`."""
    node = of(network)
    if node is None:
        raise NodeError("there is no node")
    return node
