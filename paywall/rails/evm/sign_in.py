"""Whose wallet a request proves to be: x402's Sign-In-With-X, in the header of that name.

Needs the extra `django-paywall[wallets]`. A proof is for one URL of this site, for five minutes,
and good once. A contract wallet is asked itself (ERC-1271), where there is a node.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from eth_abi.abi import encode
from eth_account.messages import encode_defunct
from eth_utils.crypto import keccak

from paywall.effects import run
from paywall.holders import throttle
from paywall.logs import plain

from . import nodes
from .addresses import checksum
from .rpc import NodeError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from django.http import HttpRequest

log = logging.getLogger(__name__)

HEADER = "HTTP_SIGN_IN_WITH_X"
LONGEST = 8_190
GOOD_FOR = timedelta(minutes=5)

IS_VALID = "0x1626ba7e"
"""`isValidSignature(bytes32,bytes)`, and what it answers to a good one (ERC-1271)."""


@cache
def can() -> bool:
    """Whether wallets can sign in here."""
    return find_spec("siwe") is not None


def signed_in(request: HttpRequest) -> str | None:
    """The wallet's address, checksummed; None where nothing, or nothing right, is proven. Asked
    again of the same request, it answers the same."""
    if HEADER not in request.META:
        return None
    if not hasattr(request, "_paywall_wallet"):
        request._paywall_wallet = _signed_in(request)  # type: ignore[attr-defined]
    found: str | None = request._paywall_wallet  # type: ignore[attr-defined]
    return found


def _signed_in(request: HttpRequest) -> str | None:
    header = request.META[HEADER]
    if not header or len(header) > LONGEST:
        return None
    if not can():
        log.error("Wallets cannot sign in: install django-paywall[wallets]")
        return None
    from x402.extensions import sign_in_with_x as siwx

    try:
        proof = siwx.parse_siwx_header(header)
        if not proof.chain_id.startswith("eip155:") or proof.uri != request.build_absolute_uri():
            return None
        wallet = checksum(proof.address)
        origin = f"{request.scheme}://{request.get_host()}"
        is_valid, is_by_key = _result(_check(siwx, proof, origin))
        if not is_valid or not (is_by_key or _says_its_contract(siwx, proof)):
            return None
    except (ValueError, RecursionError, TypeError) as error:
        log.info("A wallet's sign-in is refused: %s", plain(error))
        return None
    # Last: what is refused uses nothing up.
    return wallet if throttle.first_time(f"proof {wallet} {proof.nonce}", GOOD_FOR) else None


async def _check(siwx: Any, proof: Any, origin: str) -> tuple[bool, bool]:
    """Whether the message is one for this site and time, and whether the wallet's own key signed
    it."""
    if not (await siwx.validate_siwx_message(proof, origin)).is_valid:
        return False, False
    return True, (await siwx.verify_siwx_signature(proof)).is_valid


def _says_its_contract(siwx: Any, proof: Any) -> bool:
    """Whether a wallet that is a contract takes the signature for its own."""
    node = nodes.of(proof.chain_id)
    if node is None:
        return False
    text = siwx.create_siwx_message(proof, proof.address)
    signed = encode_defunct(text=text)
    digest = keccak(b"\x19" + signed.version + signed.header + signed.body)
    signature = bytes.fromhex(proof.signature.removeprefix("0x"))
    data = IS_VALID + encode(["bytes32", "bytes"], [digest, signature]).hex()
    try:
        return run(node.eth_call(checksum(proof.address), data))[:10] == IS_VALID
    except NodeError as error:
        log.info("A contract wallet's sign-in cannot be checked: %s", plain(error))
        return False


def _result(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What an async function of the package returns, from whatever thread this is."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(asyncio.run, coroutine).result()
