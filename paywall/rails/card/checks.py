"""What can be known at start-up to be wrong about cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings as django_settings
from django.core.checks import Error, Warning

from paywall import conf

from . import api
from .terms import LIVE, TEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.core.checks import CheckMessage

    from paywall.models import Account


def check_account(account: Account) -> Iterator[CheckMessage]:
    """An account that money is taken on."""
    cards = conf.get().cards()
    if cards is None or not api.is_set_up():
        yield Error(
            f"{account}: nobody can pay by card, since nobody takes cards.",
            hint="Install django-paywall[stripe], and set PAYWALL['STRIPE']['API_KEY'].",
            id="paywall.E015",
        )
        return
    if account.network != (TEST if cards.is_test else LIVE):
        yield Error(
            f"{account}: the key of PAYWALL['STRIPE'] is for "
            f"{'tests' if cards.is_test else 'real money'}, and this account is not.",
            hint="Disable the account, and add one with this key.",
            id="paywall.E016",
        )
    if not cards.webhook_secret:
        yield Warning(
            f"{account}: who pays by card and closes the window is let in an hour later.",
            hint="Add a webhook at Stripe, and set PAYWALL['STRIPE']['WEBHOOK_SECRET'].",
            id="paywall.W017",
        )
    if cards.is_test and not django_settings.DEBUG:
        yield Warning(
            f"{account}: this is Stripe's test mode, its money is worth nothing.",
            hint="Disable the account where you sell in earnest.",
            id="paywall.W011",
        )
