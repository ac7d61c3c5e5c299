"""A buyer's own id of what it pays for (x402 specs, extensions/payment-identifier).

The same id is the same payment, however often it is signed: it is charged once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from paywall import conf
from paywall.exceptions import Code, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "payment-identifier"
OFF, REQUIRED = "off", "required"

SHORTEST, LONGEST = 16, 128
_ID = re.compile(rf"[a-zA-Z0-9_-]{{{SHORTEST},{LONGEST}}}")
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "required": {"type": "boolean"},
        "id": {
            "type": "string",
            "minLength": SHORTEST,
            "maxLength": LONGEST,
            "pattern": "^[a-zA-Z0-9_-]+$",
        },
    },
    "required": ["required"],
}
"""As the official package declares it, which wants another one (jsonschema) to say so."""


def extension() -> dict[str, Any]:
    """The member of `extensions`, where it is on."""
    wanted = conf.get().payment_identifier
    if wanted == OFF:
        return {}
    return {NAME: {"info": {"required": wanted == REQUIRED}, "schema": SCHEMA}}


def read(extensions: Mapping[str, Any] | None) -> str:
    """The id that a payment carries; "" where it has none. Raises `Refused` for one that is none,
    or where there has to be one."""
    wanted = conf.get().payment_identifier
    if wanted == OFF:
        return ""
    declared = (extensions or {}).get(NAME)
    info = declared.get("info") if isinstance(declared, dict) else None
    found = info.get("id") if isinstance(info, dict) else None
    if found is None:
        if wanted == REQUIRED:
            raise Refused(Code.IDENTIFIER_REQUIRED, status=400)
        return ""
    if not isinstance(found, str) or not _ID.fullmatch(found):
        raise Refused(Code.INVALID_PAYLOAD, "The payment-identifier is no such id.", status=400)
    return found
