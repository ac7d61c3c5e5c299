"""Our tables against the official package's."""

from __future__ import annotations

import pytest
from x402.mechanisms.evm.default_assets import DEFAULT_ASSETS
from x402.mechanisms.evm.v1.constants import V1_NETWORK_CHAIN_IDS, V1_NETWORKS

from paywall.protocols.x402 import v1_names
from paywall.rails.evm import networks
from paywall.rails.evm.addresses import is_checksummed
from paywall.rails.evm.tokens import TOKENS, find_token


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
def test_tokens_are_the_official_ones(token):
    assert is_checksummed(token.asset)
    official = DEFAULT_ASSETS.get(token.network, [])
    same = [entry for entry in official if entry["symbol"] == token.symbol]
    if not same:
        assert token.key == "eurc-base"
        return
    assert same[0] == {
        "asset": token.asset,
        "name": token.eip712_name,
        "version": token.eip712_version,
        "decimals": token.decimals,
        "symbol": token.symbol,
    }


def test_the_promised_coins_are_there():
    assert {token.label for token in TOKENS.values()} == {
        "USDC on Base",
        "USDC on Base Sepolia",
        "USDC on Polygon",
        "USDC on Arbitrum One",
        "USDC on Avalanche",
        "USDC on Ethereum",
        "EURC on Base",
    }


def test_a_token_is_found_in_any_spelling():
    token = TOKENS["usdc-base"]
    assert find_token("eip155:8453", token.asset.lower()) is token
    assert find_token("eip155:1", token.asset) is None


def test_v1_names_are_the_official_ones():
    for network in networks.NETWORKS.values():
        official = {
            name
            for name, chain_id in V1_NETWORK_CHAIN_IDS.items()
            if f"eip155:{chain_id}" == network.id and name in V1_NETWORKS
        }
        v1_name = v1_names.name(network.id)
        assert official == ({v1_name} if v1_name else set())
        assert v1_name is None or v1_names.network(v1_name) == network.id


@pytest.mark.parametrize("nonsense", ["", "base", "eip155:", "eip155:0", "eip155:1x", "solana:5"])
def test_what_is_no_evm_network_is_refused(nonsense):
    with pytest.raises(ValueError):
        networks.chain_id(nonsense)


def test_networks_are_known_by_id():
    assert networks.chain_id("eip155:84532") == 84532
    assert networks.title("eip155:84532") == "Base Sepolia"
    assert networks.title("eip155:5") == "eip155:5"
    assert networks.is_testnet("eip155:84532")
    assert not networks.is_testnet("eip155:8453")
    assert networks.transaction_url("eip155:8453", "0xab") == "https://basescan.org/tx/0xab"
    assert networks.transaction_url("eip155:5", "0xab") is None
