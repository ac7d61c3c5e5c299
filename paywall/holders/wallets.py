"""Whose wallet a request proves to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paywall.rails import registry
from paywall.rails.base import SignsIn

if TYPE_CHECKING:
    from django.http import HttpRequest


def wallet_of(request: HttpRequest) -> str | None:
    """The payer that a request proves to be, as its rail spells it; None if nothing is proven."""
    for rail in registry.who_can(SignsIn):
        if (payer := rail.signed_in(request)) is not None:
            return payer
    return None
