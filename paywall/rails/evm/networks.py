"""What is known of EVM networks: names for people, explorers, and which are for play money."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CAIP2 = re.compile(r"eip155:([1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class Network:
    """An EVM network by its CAIP-2 id."""

    id: str
    title: str
    explorer: str | None = None
    testnet: bool = False


NETWORKS = {
    network.id: network
    for network in (
        Network("eip155:1", "Ethereum", "https://etherscan.io"),
        Network("eip155:137", "Polygon", "https://polygonscan.com"),
        Network("eip155:8453", "Base", "https://basescan.org"),
        Network("eip155:42161", "Arbitrum One", "https://arbiscan.io"),
        Network("eip155:43114", "Avalanche", "https://snowtrace.io"),
        Network("eip155:143", "Monad"),
        Network("eip155:196", "X Layer"),
        Network("eip155:480", "World", "https://worldscan.org"),
        Network("eip155:1329", "Sei"),
        Network("eip155:84532", "Base Sepolia", "https://sepolia.basescan.org", True),
        Network("eip155:43113", "Avalanche Fuji", "https://testnet.snowtrace.io", True),
        Network("eip155:80002", "Polygon Amoy", "https://amoy.polygonscan.com", True),
        Network("eip155:421614", "Arbitrum Sepolia", "https://sepolia.arbiscan.io", True),
        Network("eip155:4801", "World Sepolia", "https://sepolia.worldscan.org", True),
        Network("eip155:713715", "Sei Testnet", None, True),
        Network("eip155:11155111", "Sepolia", "https://sepolia.etherscan.io", True),
    )
}

PUBLIC_NODES = {
    "eip155:1": "https://cloudflare-eth.com",
    "eip155:137": "https://polygon-rpc.com",
    "eip155:8453": "https://mainnet.base.org",
    "eip155:42161": "https://arb1.arbitrum.io/rpc",
    "eip155:43114": "https://api.avax.network/ext/bc/C/rpc",
    "eip155:84532": "https://sepolia.base.org",
    "eip155:43113": "https://api.avax-test.network/ext/bc/C/rpc",
    "eip155:80002": "https://rpc-amoy.polygon.technology",
    "eip155:421614": "https://sepolia-rollup.arbitrum.io/rpc",
}
"""Nodes that anybody may use: told to wallets that do not know a network."""

COINS = {
    "eip155:137": "POL",
    "eip155:80002": "POL",
    "eip155:43114": "AVAX",
    "eip155:43113": "AVAX",
    "eip155:143": "MON",
    "eip155:196": "OKB",
    "eip155:1329": "SEI",
    "eip155:713715": "SEI",
}
"""What gas is paid in, where it is not ETH."""


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


def is_testnet(network: str) -> bool:
    """Whether the network's money is known to be play money."""
    known = NETWORKS.get(network)
    return known is not None and known.testnet


def for_wallets(network: str, node: str = "") -> dict[str, object]:
    """A network as wallets are told of it (EIP-3085); `node` instead of the public one."""
    known = NETWORKS.get(network, Network(network, network))
    coin = COINS.get(network, "ETH")
    url = node or PUBLIC_NODES.get(network, "")
    return {
        "chainId": hex(chain_id(network)),
        "chainName": known.title,
        "nativeCurrency": {"name": coin, "symbol": coin, "decimals": 18},
        "rpcUrls": [url] if url else [],
        "blockExplorerUrls": [known.explorer] if known.explorer else [],
    }


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
