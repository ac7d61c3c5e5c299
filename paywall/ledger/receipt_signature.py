"""The site's own signature, under what it hands out: EIP-191 over canonical JSON.

Whoever has the signer's address can check a receipt without asking the site.
"""

from __future__ import annotations

import json
from typing import Any

from eth_account import Account
from eth_account.messages import encode_defunct

from paywall import site_key


def canonical(document: dict[str, Any]) -> str:
    """The JSON that is signed: keys in order, no spaces, all characters as they are."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sign(document: dict[str, Any]) -> dict[str, str]:
    """The member `signature` of a document: of everything else in it."""
    return {
        "type": "eip191",
        "signer": site_key.address(),
        "value": site_key.sign(encode_defunct(text=canonical(document))),
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
    return bool(signer == claimed.get("signer") == site_key.address())
