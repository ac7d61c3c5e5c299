"""The site's own signature, under what it hands out: EIP-191 over canonical JSON.

Whoever has the signer's address can check a receipt without asking the site. The key is
`PAYWALL["RECEIPT_KEY"]`, or one made from `SECRET_KEY`: then it changes when that does.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from functools import lru_cache
from typing import Any

from django.conf import settings as django_settings
from eth_account import Account
from eth_account.messages import encode_defunct

from paywall import conf

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1: a key is a number from 1 to below it."""


def canonical(document: dict[str, Any]) -> str:
    """The JSON that is signed: keys in order, no spaces, all characters as they are."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sign(document: dict[str, Any]) -> dict[str, str]:
    """The member `signature` of a document: of everything else in it."""
    account = Account.from_key(_key())
    signed = account.sign_message(encode_defunct(text=canonical(document)))
    return {
        "type": "eip191",
        "signer": account.address,
        "value": f"0x{signed.signature.hex().removeprefix('0x')}",
    }


def is_genuine(document: dict[str, Any]) -> bool:
    """Whether a signed document is as this site signed it."""
    claimed = document.get("signature")
    rest = {key: value for key, value in document.items() if key != "signature"}
    if not isinstance(claimed, dict):
        return False
    try:
        message = encode_defunct(text=canonical(rest))
        signer = Account.recover_message(message, signature=claimed.get("value"))
    except Exception:
        # Whatever a stranger sends as a signature is none.
        return False
    return bool(signer == claimed.get("signer") == signer_address())


def signer_address() -> str:
    """By which the site's signatures are known."""
    return str(Account.from_key(_key()).address)


def _key() -> str:
    return conf.get().receipt_key.reveal() or _derived(str(django_settings.SECRET_KEY))


@lru_cache(maxsize=8)
def _derived(secret: str) -> str:
    digest = hmac.new(secret.encode(), b"paywall receipts", hashlib.sha512).digest()
    number = int.from_bytes(digest) % (_ORDER - 1) + 1
    return f"0x{number:064x}"
