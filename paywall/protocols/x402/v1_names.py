"""What x402 v1 calls networks; v2 has their CAIP-2 ids."""

from __future__ import annotations

_NAMES = {
    "polygon": "eip155:137",
    "base": "eip155:8453",
    "avalanche": "eip155:43114",
    "monad": "eip155:143",
    "sei": "eip155:1329",
    "base-sepolia": "eip155:84532",
    "avalanche-fuji": "eip155:43113",
    "polygon-amoy": "eip155:80002",
}
_BY_NETWORK = {network: name for name, network in _NAMES.items()}


def network(name: str) -> str | None:
    """The CAIP-2 id of a network that v1 knows, or None."""
    return _NAMES.get(name)


def name(network: str) -> str | None:
    """What v1 calls a network, or None."""
    return _BY_NETWORK.get(network)
