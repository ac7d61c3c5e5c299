"""Whose wallet a request proves to be: x402's Sign-In-With-X, in the header of that name.

Needs the extra `django-paywall[wallets]`. A proof is good for five minutes on this site alone.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from paywall.logs import plain

from .addresses import checksum

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from django.http import HttpRequest

log = logging.getLogger(__name__)

HEADER = "HTTP_SIGN_IN_WITH_X"
LONGEST = 8_190


def signed_in(request: HttpRequest) -> str | None:
    """The wallet's address, checksummed; None where nothing, or nothing right, is proven."""
    header = request.META.get(HEADER, "")
    if not header or len(header) > LONGEST:
        return None
    try:
        import siwe  # noqa: F401 - the package needs it for wallets of EVM chains
        from x402.extensions import sign_in_with_x as siwx
    except ImportError:
        log.error("Wallets cannot sign in: install django-paywall[wallets]")
        return None
    try:
        proof = siwx.parse_siwx_header(header)
        if not proof.chain_id.startswith("eip155:"):
            return None
        origin = f"{request.scheme}://{request.get_host()}"
        return checksum(proof.address) if _result(_is_right(siwx, proof, origin)) else None
    except (ValueError, RecursionError) as error:
        log.info("A wallet's sign-in is refused: %s", plain(error))
        return None


async def _is_right(siwx: Any, proof: Any, origin: str) -> bool:
    valid = await siwx.validate_siwx_message(proof, origin)
    return bool(valid.is_valid and (await siwx.verify_siwx_signature(proof)).is_valid)


def _result(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What an async function of the package returns, from whatever thread this is."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(asyncio.run, coroutine).result()
