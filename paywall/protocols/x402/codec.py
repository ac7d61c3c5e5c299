"""JSON in base64, as x402 headers carry it."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from paywall.exceptions import Code, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

M = TypeVar("M", bound=BaseModel)


def read(header: str, version: int, model: type[M]) -> M:
    """A payment payload of that version of x402, as a header carries it. Raises `Refused`."""
    data = _decode(header)
    _check_version(data, version)
    try:
        return model.model_validate(data)
    except (ValidationError, RecursionError) as error:
        raise Refused(Code.INVALID_PAYLOAD, status=400) from error


def _decode(value: str) -> dict[str, Any]:
    try:
        data = json.loads(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise Refused(Code.INVALID_PAYLOAD, status=400) from error
    if not isinstance(data, dict):
        raise Refused(Code.INVALID_PAYLOAD, status=400)
    return data


def _check_version(data: Mapping[str, Any], version: int) -> None:
    """Raise `Refused` unless `x402Version` is that number (not a string, not `true`)."""
    claimed = data.get("x402Version")
    if type(claimed) is not int or claimed != version:
        raise Refused(Code.INVALID_VERSION, status=400)


def encode(data: Any) -> str:
    """JSON in base64, as x402 headers carry it."""
    return encode_text(json.dumps(data, separators=(",", ":")))


def encode_text(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
