"""What is known of EVM networks: their v1 names, explorers, and which are for play money."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CAIP2 = re.compile(r"eip155:([1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class Network:
    """An EVM network by its CAIP-2 id."""

    id: str
    title: str
    v1_name: str | None = None
    """What x402 v1 calls it; None where the v1 clients do not know it."""
    explorer: str | None = None
    testnet: bool = False


NETWORKS = {
    network.id: network
    for network in (
        Network("eip155:1", "Ethereum", None, "https://etherscan.io"),
        Network("eip155:137", "Polygon", "polygon", "https://polygonscan.com"),
        Network("eip155:8453", "Base", "base", "https://basescan.org"),
        Network("eip155:42161", "Arbitrum One", None, "https://arbiscan.io"),
        Network("eip155:43114", "Avalanche", "avalanche", "https://snowtrace.io"),
        Network(
            "eip155:84532", "Base Sepolia", "base-sepolia", "https://sepolia.basescan.org", True
        ),
        Network(
            "eip155:43113", "Avalanche Fuji", "avalanche-fuji", "https://testnet.snowtrace.io", True
        ),
        Network(
            "eip155:80002", "Polygon Amoy", "polygon-amoy", "https://amoy.polygonscan.com", True
        ),
        Network("eip155:421614", "Arbitrum Sepolia", None, "https://sepolia.arbiscan.io", True),
        Network("eip155:11155111", "Sepolia", None, "https://sepolia.etherscan.io", True),
    )
}
_BY_V1_NAME = {network.v1_name: network.id for network in NETWORKS.values() if network.v1_name}


def chain_id(network: str) -> int:
    """The chain id of a CAIP-2 network; `ValueError` if it is not an EVM network."""
    match = _CAIP2.fullmatch(network)
    if match is None:
        raise ValueError(f"not an EVM network in CAIP-2 (eip155:<chain id>): {network[:64]!r}")
    return int(match.group(1))


def title(network: str) -> str:
    """A name for people; the CAIP-2 id where none is known."""
    known = NETWORKS.get(network)
    return known.title if known else network


def v1_name(network: str) -> str | None:
    """What x402 v1 calls a CAIP-2 network, or None."""
    known = NETWORKS.get(network)
    return known.v1_name if known else None


def from_v1_name(name: str) -> str | None:
    """The CAIP-2 id of an x402 v1 network name, or None."""
    return _BY_V1_NAME.get(name)


def is_testnet(network: str) -> bool:
    """Whether the network's money is known to be play money."""
    known = NETWORKS.get(network)
    return known is not None and known.testnet


def transaction_url(network: str, transaction: str) -> str | None:
    """Where a person can look at a transaction, or None."""
    return _explorer_url(network, f"tx/{transaction}")


def address_url(network: str, address: str) -> str | None:
    """Where a person can look at an address, or None."""
    return _explorer_url(network, f"address/{address}")


def block_url(network: str, number: int) -> str | None:
    """Where a person can look at a block, or None."""
    return _explorer_url(network, f"block/{number}")


def _explorer_url(network: str, path: str) -> str | None:
    known = NETWORKS.get(network)
    return f"{known.explorer}/{path}" if known and known.explorer else None
