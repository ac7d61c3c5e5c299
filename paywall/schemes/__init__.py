"""What is signed: a scheme reads, checks and finds one kind of authorization.

The gate speaks to `Scheme` and names none of them.
"""

from __future__ import annotations

from .base import Scheme
from .exact_evm import ExactEvm

_SCHEMES: dict[str, Scheme] = {scheme.name: scheme for scheme in (ExactEvm(),)}


def get(name: str) -> Scheme | None:
    """The scheme of that x402 name, or None: for names that buyers sent."""
    return _SCHEMES.get(name)


def named(name: str) -> Scheme:
    """The scheme of that x402 name, or `LookupError`: for names that we wrote ourselves."""
    return _SCHEMES[name]


__all__ = ["Scheme", "get", "named"]
