"""How often strangers may try something: counted by the network that they come from."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import F
from django.utils import timezone

from paywall import durable
from paywall.holders.networks import network_of
from paywall.models import Tally

if TYPE_CHECKING:
    from django.http import HttpRequest


class Limit:
    """So many tries in so long, for each network address range."""

    def __init__(self, name: str, most: int, window: timedelta) -> None:
        self.name, self.most, self.window = name, most, window

    def is_reached(self, request: HttpRequest) -> bool:
        """Whether no more tries are left. One query."""
        rows = Tally.objects.using(durable.alias()).filter(scope=self._scope(request))
        return rows.filter(ends_at__gt=timezone.now(), count__gte=self.most).exists()

    def count(self, request: HttpRequest) -> bool:
        """Count a try. Whether it was the last that there is."""
        return self._count(self._scope(request)) == self.most

    @durable.write
    def _count(self, scope: str) -> int:
        now = timezone.now()
        rows = Tally.objects.using(durable.alias()).filter(scope=scope)
        if rows.filter(ends_at__gt=now).update(count=F("count") + 1):
            return rows.values_list("count", flat=True).get()
        if not rows.update(count=1, ends_at=now + self.window):
            Tally.objects.using(durable.alias()).bulk_create(
                [Tally(scope=scope, count=1, ends_at=now + self.window)], ignore_conflicts=True
            )
        return 1

    def _scope(self, request: HttpRequest) -> str:
        return f"{self.name} {network_of(request) or 'unknown'}"


@durable.write
def first_time(what: str, within: timedelta) -> bool:
    """Whether this is the first time that something happens, of any number at once. It is kept for
    at least that long."""
    _, is_first = Tally.objects.using(durable.alias()).get_or_create(
        scope=what[:160], defaults={"count": 1, "ends_at": timezone.now() + 2 * within}
    )
    return is_first


COUPON_GUESSES = Limit("coupon", 10, timedelta(minutes=10))
BALANCES = Limit("balance", 240, timedelta(minutes=10))
ORDERS = Limit("order", 60, timedelta(minutes=10))
POOR_PAYERS = Limit("poor payer", 300, timedelta(minutes=1))
UNKNOWN_PAYERS = Limit("unknown payer", 30, timedelta(minutes=10))


def forget_old(most: int = 1_000) -> int:
    """Delete counts that are over."""
    rows = Tally.objects.using(durable.alias()).filter(ends_at__lt=timezone.now())
    keys = list(rows.values_list("pk", flat=True)[:most])
    return Tally.objects.using(durable.alias()).filter(pk__in=keys).delete()[0]
