"""From test money to real money, and back: which accounts are paid to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import transaction

from paywall import conf, durable, staff_log
from paywall.models import Account
from paywall.rails import registry
from paywall.rails.base import Plays

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Accounts:
    """Those that an owner added, whether or not they are enabled."""

    test: Sequence[Account]
    main: Sequence[Account]

    @property
    def is_main(self) -> bool:
        """Whether real money is taken, and no other."""
        enabled = [account for account in self.main if account.enabled]
        return bool(enabled) and not any(account.enabled for account in self.test)

    @property
    def waiting(self) -> list[Account]:
        """Those that a second person has to approve."""
        return [account for account in self.main if account.proposed_by_id is not None]


def accounts() -> Accounts:
    """Queries the database."""
    rows = Account.objects.using(durable.alias()).order_by("order", "pk")
    known = [account for account in rows if registry.able(account.rail, Plays) is None]
    test = [account for account in known if registry.network(account.network).testnet]
    return Accounts(test, [account for account in known if account not in test])


def switch(*, to_main: bool, by: Any) -> Accounts:
    """Money goes to the accounts of the main networks alone, or to those of the test networks. All
    of it or nothing. With `TWO_PERSON_RULE` accounts that would open are proposed, and the others
    stay open until somebody else approves them. Who did it stands in the admin's log."""
    needs_another = conf.get().two_person_rule
    with transaction.atomic(using=durable.alias()):
        found = accounts()
        opens, closes = (found.main, found.test) if to_main else (found.test, found.main)
        for account in opens:
            if account.enabled:
                continue
            if needs_another:
                account.proposed_by_id = by.pk
                account.save()
                staff_log.write(by, account, "Proposed: enabled")
            else:
                _turn(account, on=True, by=by)
        if not needs_another or any(account.enabled for account in opens):
            for account in closes:
                if account.enabled:
                    _turn(account, on=False, by=by)
    return accounts()


def _turn(account: Account, *, on: bool, by: Any) -> None:
    account.enabled = on
    account.save()
    staff_log.changed(by, account, "enabled", not on, on)
