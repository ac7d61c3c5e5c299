"""JSON in base64, as x402 headers carry it."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from paywall.exceptions import Code, Refused, malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

M = TypeVar("M", bound=BaseModel)


def read(header: str, version: int, model: type[M]) -> M:
    """A payment payload of that version of x402, as a header carries it. Raises `Refused`."""
    data = _decode(header)
    _check_version(data, version)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise malformed(_first(error)) from error
    except RecursionError as error:
        raise malformed("it is nested too deeply") from error


def _first(error: ValidationError) -> str:
    """The first field that is wrong, and how: not what it holds."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(name)[:40] for name in first["loc"])
    return f"{ascii(field)[1:-1]}: {first['msg'][:1].lower()}{first['msg'][1:]}"


def _decode(value: str) -> dict[str, Any]:
    try:
        text = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise malformed("it is not base64") from error
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise malformed("what is in the base64 is not JSON") from error
    if not isinstance(data, dict):
        raise malformed("it is not a JSON object")
    return data


def _check_version(data: Mapping[str, Any], version: int) -> None:
    """Raise `Refused` unless `x402Version` is that number (not a string, not `true`)."""
    claimed = data.get("x402Version")
    if type(claimed) is not int or claimed != version:
        raise Refused(
            Code.INVALID_VERSION, f"x402Version must be the number {version}.", status=400
        )


def encode(data: Any) -> str:
    """JSON in base64, as x402 headers carry it."""
    return encode_text(json.dumps(data, separators=(",", ":")))


def encode_text(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
