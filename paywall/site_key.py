"""The site's own key, for what it hands out: receipts, and offers in x402's extension; and for
what it makes unrecognizable.

It is `PAYWALL["RECEIPT_KEY"]`, or one made from `SECRET_KEY`: then it changes when that does. No
money ever belongs to it.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from eth_account import Account

from paywall import conf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eth_account.messages import SignableMessage

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1: a key is a number from 1 to below it."""


def address() -> str:
    """By which the site's signatures are known."""
    return str(Account.from_key(_key()).address)


def sign(message: SignableMessage) -> str:
    """0x-prefixed hex."""
    signature = Account.from_key(_key()).sign_message(message).signature
    return f"0x{signature.hex().removeprefix('0x')}"


def sign_typed(
    name: str, kind: str, fields: Sequence[tuple[str, str]], payload: Mapping[str, Any]
) -> dict[str, Any]:
    """A payload with its EIP-712 signature, as x402's `offer-receipt` has it: the domain is a name
    alone (version 1, chain 1: it is for no chain). `fields` are names with their Solidity types."""
    from eth_account.messages import encode_typed_data

    domain = {"name": name, "version": "1", "chainId": 1}
    types = {kind: [{"name": field, "type": type_} for field, type_ in fields]}
    signature = sign(encode_typed_data(domain, types, dict(payload)))
    return {"format": "eip712", "payload": dict(payload), "signature": signature}


def digest(text: str) -> str:
    """64 hex digits, the same for the same text: without the key nobody can tell of which."""
    return hmac.new(_key().encode(), text.encode(), hashlib.sha256).hexdigest()


def _key() -> str:
    return conf.get().receipt_key.reveal() or _derived(str(django_settings.SECRET_KEY))


@lru_cache(maxsize=8)
def _derived(secret: str) -> str:
    digest = hmac.new(secret.encode(), b"paywall receipts", hashlib.sha512).digest()
    number = int.from_bytes(digest) % (_ORDER - 1) + 1
    return f"0x{number:064x}"
