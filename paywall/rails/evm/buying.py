"""Paying other sites: offers of somebody's 402, and what is signed for them. By the official
clients, x402's and MPP's (extra `buyer`)."""

from __future__ import annotations

import asyncio
import re
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from paywall.protocols.x402 import v1_names
from paywall.rails.base import Bid

from . import networks, transactions
from .schemes.upto import UpToEvm
from .tokens import find_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx
    from eth_account.signers.local import LocalAccount
    from mpp import Challenge
    from mpp.runtime import ClientMethod

    from paywall.secret import Secret

    from .tokens import Token

SCHEMES = "exact", UpToEvm.name

NATIVE = "evm", "charge"
"""The method and intent of MPP that a wallet signs for."""


def bids(response: httpx.Response, key: Secret) -> list[Bid]:
    """What a 402 asks for in well-known coins, in the site's order; x402 first.

    Raises `ImportError` without the extra, and `ValueError` for a key that is none.
    """
    wallet = transactions.wallet(key)
    return [*_x402(response, wallet), *_mpp(response, wallet)]


def _x402(response: httpx.Response, wallet: LocalAccount) -> Iterator[Bid]:
    from x402 import x402ClientSync
    from x402.http.x402_http_client import x402HTTPClientSync
    from x402.mechanisms.evm import EthAccountSigner
    from x402.mechanisms.evm.exact import register_exact_evm_client
    from x402.mechanisms.evm.upto import UptoEvmClientScheme

    # How much is paid is decided by who calls.
    signer = EthAccountSigner(wallet)
    client = register_exact_evm_client(x402ClientSync().set_spend_controls(False), signer)
    client.register("eip155:*", UptoEvmClientScheme(signer))
    over_http = x402HTTPClientSync(client)
    try:
        challenge: Any = over_http.get_payment_required_response(
            response.headers.get, response.content
        )
    except ValueError:
        return

    def pay(offer: Any) -> dict[str, str]:
        alone = challenge.model_copy(update={"accepts": [offer]})
        payload = over_http.create_payment_payload(alone)
        return over_http.encode_payment_signature_header(payload)

    for offer in challenge.accepts:
        is_first = challenge.x402_version == 1
        network = v1_names.network(offer.network) or "" if is_first else offer.network
        amount = offer.max_amount_required if is_first else offer.amount
        coin = find_token(network, offer.asset)
        if coin is not None and offer.scheme in SCHEMES and amount.isdecimal():
            at_most = offer.scheme == UpToEvm.name
            yield _bid("x402", coin, int(amount), partial(pay, offer), at_most=at_most)


def _mpp(response: httpx.Response, wallet: LocalAccount) -> Iterator[Bid]:
    from mpp import Challenge
    from mpp.methods.evm.client import charge

    for text in _challenges(response.headers.get_list("WWW-Authenticate")):
        try:
            challenge = Challenge.from_www_authenticate(text)
            asked, details = challenge.request, challenge.request["methodDetails"]
            network = f"eip155:{int(details['chainId'])}"
        except (ValueError, KeyError, TypeError):
            continue
        coin = find_token(network, str(asked.get("currency", "")))
        if (challenge.method, challenge.intent) != NATIVE or coin is None:
            continue
        method = charge(
            currency=coin.asset,
            account=wallet,
            chain_id=networks.chain_id(network),
            decimals=coin.decimals,
            authorization={"name": coin.eip712_name, "version": coin.eip712_version},
        )
        if method.can_handle_challenge is not None and method.can_handle_challenge(challenge):
            yield _bid("mpp", coin, int(asked["amount"]), partial(_credential, method, challenge))


def _challenges(headers: list[str]) -> Iterator[str]:
    """A header may carry several, and schemes of others (RFC 9110, section 11.6.1)."""
    for header in headers:
        for text in re.split(r",\s*(?=Payment )", header):
            if text.startswith("Payment "):
                yield text


def _credential(method: ClientMethod, challenge: Challenge) -> dict[str, str]:
    from mpp.runtime import CredentialParams

    async def sign() -> str:
        return await method.create_credential(CredentialParams(challenge=challenge))

    return {challenge.credential_header: asyncio.run(sign())}


def _bid(
    protocol: str,
    coin: Token,
    units: int,
    pay: Callable[[], dict[str, str]],
    *,
    at_most: bool = False,
) -> Bid:
    amount = Decimal(units).scaleb(-coin.decimals)
    most = "at most " if at_most else ""
    return Bid(protocol, amount, f"{most}{amount.normalize():f} {coin.label}", pay)
