"""Accounts for play money (`SANDBOX`): they are there when something is sold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paywall import durable
from paywall.models import Account
from paywall.rails import registry
from paywall.rails.base import Plays

if TYPE_CHECKING:
    from collections.abc import Iterable


@durable.write
def open_accounts(currencies: Iterable[str]) -> None:
    """Make those that are missing, in these currencies."""
    using = durable.alias()
    for rail in registry.who_can(Plays):
        for currency in sorted(set(currencies)):
            account = rail.play_account(currency)
            known = Account.objects.using(using).filter(rail=account.rail, currency=currency)
            if not known.exists():
                account.save(using=using, force_insert=True)
