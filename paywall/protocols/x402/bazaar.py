"""What a resource takes and gives, for those who list what is sold (x402 specs, extensions/bazaar).

In the shape of the official package, which wants another one (jsonschema) to say it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paywall import conf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paywall.interface import Interface

NAME = "bazaar"


def extension(interface: Interface | None) -> dict[str, Any]:
    """The member of `extensions`; none where nothing is said, or bazaars are not to find it."""
    if interface is None or NAME not in conf.get().found_by:
        return {}
    return {NAME: declaration(interface)}


def declaration(interface: Interface) -> dict[str, Any]:
    """The interface's `info`, and the JSON Schema that it fits."""
    info: dict[str, Any] = {"input": _input(interface)}
    properties: dict[str, Any] = {"input": _input_schema(interface)}
    if interface.answer is not None:
        info["output"] = {"type": "json", "example": interface.answer}
        properties["output"] = {
            "type": "object",
            "properties": {"type": {"type": "string"}, "example": dict(interface.answer_schema)},
            "required": ["type"],
        }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": ["input"],
    }
    return {"info": info, "schema": schema}


def _input(interface: Interface) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "http", "method": interface.method}
    if interface.in_body:
        found |= {"bodyType": "json", "body": interface.example or {}}
    elif interface.example:
        found["queryParams"] = interface.example
    return found


def _input_schema(interface: Interface) -> Mapping[str, Any]:
    properties: dict[str, Any] = {
        "type": {"type": "string", "const": "http"},
        "method": {"type": "string", "enum": [interface.method]},
    }
    required = ["type", "method"]
    if interface.in_body:
        properties["bodyType"] = {"type": "string", "enum": ["json"]}
        properties["body"] = dict(interface.schema)
        required += ["bodyType", "body"]
    else:
        properties["queryParams"] = {"type": "object", **interface.schema}
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
