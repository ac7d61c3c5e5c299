"""What a resource takes and gives: as its owner says it, or else the site's own OpenAPI document,
if the setting `OPENAPI` names one."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from django.utils.module_loading import import_string

from paywall import conf
from paywall.catalog import places
from paywall.interface import IN_BODY, IN_QUERY, Interface, read

if TYPE_CHECKING:
    from paywall.models import Resource

log = logging.getLogger(__name__)


def of(resource: Resource) -> Interface | None:
    """What a resource takes and gives; None where nobody says it."""
    if resource.interface:
        try:
            return read(resource.interface)
        except ValueError as error:
            log.error("The interface of %s is left out: %s", resource.slug, error)
            return None
    return _of_document(resource) if conf.get().openapi else None


# ------------------------------------------------------------------- The site's own document


def _of_document(resource: Resource) -> Interface | None:
    found = _document()
    for path, _ in (*places.of_views(resource), *places.of_rule(resource)):
        for method, operation in found.get(_shape(path), {}).items():
            try:
                return read(_said(method, operation))
            except ValueError as error:
                log.warning("The OpenAPI operation of %s is left out: %s", resource.slug, error)
    return None


@conf.kept
def _document() -> Mapping[str, Mapping[str, Any]]:
    """Operations by the shape of their path and by method, references resolved. What the site's
    own function raises is logged, and nothing is taken from it."""
    found: dict[str, dict[str, Any]] = {}
    try:
        document = import_string(conf.get().openapi)()
        follow = partial(_followed, document, ())
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if method.upper() in (*IN_QUERY, *IN_BODY):
                    found.setdefault(_shape(path), {})[method.upper()] = follow(operation)
    except Exception:
        log.exception("PAYWALL['OPENAPI'] gives no OpenAPI document")
    return found


def _shape(path: str) -> str:
    """A path, whatever its variables are called."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def _followed(document: Mapping[str, Any], within: tuple[str, ...], part: Any) -> Any:
    """A part of a document with its `$ref`s in place; what refers to itself may be anything."""
    if isinstance(part, list):
        return [_followed(document, within, one) for one in part]
    if not isinstance(part, Mapping):
        return part
    reference = part.get("$ref")
    if not isinstance(reference, str):
        return {key: _followed(document, within, value) for key, value in part.items()}
    if reference in within or not reference.startswith("#/"):
        return {}
    target: Any = document
    for name in reference[2:].split("/"):
        target = target[name.replace("~1", "/").replace("~0", "~")]
    return _followed(document, (*within, reference), target)


def _said(method: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    """An OpenAPI operation in our own words."""
    said: dict[str, Any] = {"method": method}
    if method in IN_BODY:
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        said["body"] = content.get("schema", {})
        if (example := _example(content)) is not None:
            said["example"] = example
    else:
        asked = [one for one in operation.get("parameters", ()) if one.get("in") == "query"]
        required = [one["name"] for one in asked if one.get("required")]
        said["query"] = {
            "properties": {one["name"]: one.get("schema", {}) for one in asked},
            **({"required": required} if required else {}),
        }
        examples = {one["name"]: value for one in asked if (value := _example(one)) is not None}
        if examples:
            said["example"] = examples
    responses = operation.get("responses", {})
    answer = responses.get("200") or responses.get("201") or {}
    content = answer.get("content", {}).get("application/json", {})
    if (example := _example(content)) is not None:
        said["answer"] = example
    if schema := content.get("schema"):
        said["answer_schema"] = schema
    return said


def _example(part: Mapping[str, Any]) -> Any:
    """What a parameter or a content has as an example."""
    if "example" in part:
        return part["example"]
    if isinstance(named := part.get("examples"), Mapping) and named:
        return next(iter(named.values())).get("value")
    schema = part.get("schema", {})
    return schema.get("example", schema.get("default")) if isinstance(schema, Mapping) else None
