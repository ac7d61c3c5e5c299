"""What a resource takes and gives, as its owner says it: for programs that have never seen it.

    {"query": {"properties": {"city": {"type": "string"}}, "required": ["city"]},
     "example": {"city": "Lisbon"},
     "answer": {"city": "Lisbon", "high": 21}}

`query` or `body` is a JSON Schema of what goes in, `example` one such; `answer` is what comes out,
and `answer_schema` its JSON Schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

IN_QUERY, IN_BODY = ("GET", "HEAD", "DELETE"), ("POST", "PUT", "PATCH")
KEYS = frozenset({"method", "query", "body", "example", "answer", "answer_schema"})
LONGEST = 3_000
"""Bytes of JSON: it stands in a header of every 402, and proxies take 8 KB of them."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One operation."""

    method: str
    in_body: bool
    """Whether a body goes in, and not a query."""
    schema: Mapping[str, Any]
    """The JSON Schema of what goes in."""
    example: Any = None
    answer: Any = None
    """An example of what comes out."""
    answer_schema: Mapping[str, Any] = field(default_factory=dict)


def read(said: Any) -> Interface:
    """From JSON. Raises `ValueError` with what is wrong."""
    if not isinstance(said, Mapping):
        raise ValueError("it is an object")
    if unknown := said.keys() - KEYS:
        raise ValueError(f"it has no {', '.join(sorted(unknown))}")
    if "query" in said and "body" in said:
        raise ValueError("what goes in is a query or a body")
    in_body = "body" in said
    method = said.get("method", IN_BODY[0] if in_body else IN_QUERY[0])
    if method not in (IN_BODY if in_body else IN_QUERY):
        raise ValueError(f"{method} does not go with {'a body' if in_body else 'a query'}")
    schemas = said.get("body" if in_body else "query", {}), said.get("answer_schema", {})
    if not all(isinstance(schema, Mapping) for schema in schemas):
        raise ValueError("a JSON Schema is an object")
    if not in_body and not isinstance(said.get("example", {}), Mapping):
        raise ValueError("an example of a query is an object")
    if len(json.dumps(said)) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST} bytes")
    return Interface(
        method, in_body, schemas[0], said.get("example"), said.get("answer"), schemas[1]
    )
