"""What an account for cards is: a currency, from which price on, and what a bill says."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from paywall.rails.base import Unacceptable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paywall.models import Account

RAIL = "card"
"""As it stands on rows."""

SCHEME = "checkout"
"""What its offers are paid by: an order, on Stripe's own page."""

LIVE, TEST = "stripe:live", "stripe:test"

USUAL_MINIMUM = "0.50"
"""Stripe takes no less (docs.stripe.com/currencies), and about 0.30 of it is its own."""

WITHOUT_CENTS = frozenset(
    (
        *("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND"),
        *("VUV", "XAF", "XOF", "XPF"),
    )
)
"""Currencies whose smallest unit is the whole one (docs.stripe.com/currencies#zero-decimal)."""

_PROFILE = re.compile(r"profile_\w{3,100}", re.ASCII)
_DESCRIPTOR = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 .,&/-]{2,22}")


def decimals(currency: str) -> int:
    """How many digits after the point Stripe counts in that currency."""
    return 0 if currency in WITHOUT_CENTS else 2


def read(network: str, terms: Mapping[str, Any]) -> dict[str, Any]:
    """An account's terms, complete and in one spelling. Raises `Unacceptable`."""
    if network not in (LIVE, TEST):
        raise Unacceptable("network", f"{LIVE}, or {TEST}.")
    unknown = set(terms) - {"currency", "minimum", "descriptor", "profile"}
    if unknown:
        raise Unacceptable("terms", f"Not known: {', '.join(sorted(unknown))}.")
    currency = str(terms.get("currency", ""))
    if not re.fullmatch("[A-Z]{3}", currency):
        raise Unacceptable("currency", _("Three capital letters, as USD."))
    descriptor = str(terms.get("descriptor") or "")
    if descriptor and not _DESCRIPTOR.fullmatch(descriptor):
        text = _("2 to 22 letters, digits and spaces, a letter among them.")
        raise Unacceptable("descriptor", text)
    profile = str(terms.get("profile") or "")
    if profile and not _PROFILE.fullmatch(profile):
        raise Unacceptable("profile", _("As Stripe names it: profile_ and more."))
    minimum = str(terms.get("minimum", USUAL_MINIMUM))
    try:
        is_amount = 0 <= Decimal(minimum) < 1_000_000
    except InvalidOperation:
        is_amount = False
    if not is_amount:
        raise Unacceptable("minimum", _("An amount, as 0.50."))
    return {
        "currency": currency,
        "minimum": minimum,
        "descriptor": descriptor,
        "profile": profile,
    }


def takes(account: Account, price: Decimal) -> bool:
    """Whether a price is worth a card's fee."""
    return price >= Decimal(account.terms["minimum"])


def account_for(currency: str, is_test: bool, **fields: Any) -> Account:
    """An account for cards, not saved yet."""
    from paywall.models import Account

    own = {
        name: fields.pop(name) for name in ("minimum", "descriptor", "profile") if name in fields
    }
    return Account(
        rail=RAIL,
        network=TEST if is_test else LIVE,
        symbol=currency,
        decimals=decimals(currency),
        currency=currency,
        terms={"currency": currency, **own},
        **fields,
    )
