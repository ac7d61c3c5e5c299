"""Well-known stablecoins, so that an owner types only where the money shall go.

The dollar coins are the official x402 package's own table (`x402.mechanisms.evm.default_assets`),
kept here because importing that loads web3; a test holds the two against each other. The
package has no euro coin: EURC's address is Circle's.
"""

from __future__ import annotations

from dataclasses import dataclass

from paywall.rails.base import Coin

from .networks import PUBLIC_NODES, title


@dataclass(frozen=True, slots=True)
class Token:
    """A token contract that takes EIP-3009 authorizations."""

    key: str
    network: str
    asset: str
    symbol: str
    decimals: int
    eip712_name: str
    eip712_version: str
    currency: str
    confirmations: int
    """A depth at which a reorganisation has become implausible there."""

    @property
    def label(self) -> str:
        return f"{self.symbol} on {title(self.network)}"


def _usdc(key: str, network: str, asset: str, name: str, confirmations: int) -> Token:
    return Token(key, network, asset, "USDC", 6, name, "2", "USD", confirmations)


TOKENS = {
    token.key: token
    for token in (
        _usdc(
            "usdc-base", "eip155:8453", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "USD Coin", 12
        ),
        _usdc(
            "usdc-base-sepolia",
            "eip155:84532",
            "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "USDC",
            1,
        ),
        _usdc(
            "usdc-polygon",
            "eip155:137",
            "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359",
            "USD Coin",
            64,
        ),
        _usdc(
            "usdc-arbitrum",
            "eip155:42161",
            "0xaf88d065e77c8cC2239327C5EDb3A432268e5831",
            "USD Coin",
            20,
        ),
        _usdc(
            "usdc-avalanche",
            "eip155:43114",
            "0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E",
            "USD Coin",
            3,
        ),
        _usdc(
            "usdc-ethereum",
            "eip155:1",
            "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48",
            "USD Coin",
            12,
        ),
        Token(
            "eurc-base",
            "eip155:8453",
            "0x60a3E35Cc302bFA44Cb288Bc5a4F316Fdb1adb42",
            "EURC",
            6,
            "EURC",
            "2",
            "EUR",
            12,
        ),
    )
}


def coins(rail: str) -> list[Coin]:
    """What a new owner can choose."""
    return [
        Coin(rail, t.key, t.label, t.network, t.currency, PUBLIC_NODES.get(t.network, ""))
        for t in TOKENS.values()
    ]


def find_token(network: str, asset: str) -> Token | None:
    """The well-known token at an address, or None."""
    for token in TOKENS.values():
        if token.network == network and token.asset.lower() == asset.lower():
            return token
    return None
