"""What is sold to everyone, and where: read at most once a minute, in a few queries for all of
it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db.models import prefetch_related_objects
from django.db.models.signals import post_delete, post_save
from django.utils import timezone

from paywall import durable, taxes
from paywall.catalog import interfaces, offers, places, usage
from paywall.models import Account, Price, Resource, UsageTerms
from paywall.mounts import path_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from paywall.interface import Interface
    from paywall.vocabulary import Offer

KEPT_FOR = 60
"""Seconds for which a list is taken to be fresh; changes made in this process show at once."""
MOST = 1_000
"""Resources in it: those that were made last."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Something that anybody may buy, and a path where it is sold."""

    resource_id: int
    title: str
    description: str
    mime_type: str
    access: str
    pass_seconds: int | None
    path: str
    """Absolute; what varies stands in braces, as in OpenAPI."""
    methods: tuple[str, ...]
    prices: tuple[tuple[Decimal, str], ...]
    """Amounts with their currencies."""
    offers: tuple[Offer, ...]
    changed_at: datetime
    by_use: bool = False
    """Whether its price is the most, and what was used is taken."""
    interface: Interface | None = None
    """What it takes and gives, where somebody says that."""

    @property
    def is_template(self) -> bool:
        """Whether its path stands for many."""
        return "{" in self.path


_kept: dict[str, Any] = {}
_lock = threading.Lock()


def all_() -> tuple[Listed, ...]:
    """All of it, by path. Queries the database where what is kept is too old."""
    found: tuple[Listed, ...] = _get()["found"]
    return found


def terms() -> usage.AllTerms:
    """What machines may do with it, kept as long."""
    found: usage.AllTerms = _get()["terms"]
    return found


def _get() -> dict[str, Any]:
    with _lock:
        if "until" not in _kept or time.monotonic() >= _kept["until"]:
            until = time.monotonic() + KEPT_FOR
            _kept.update(found=tuple(_read()), terms=usage.load(), until=until)
        return dict(_kept)


def forget(**_: Any) -> None:
    """Keep nothing: the next one who asks has it read anew."""
    _kept.clear()


@durable.read
def _read() -> list[Listed]:
    using, now = durable.alias(), timezone.now()
    rows = Resource.objects.using(using).filter(active=True, listed=True).order_by("-pk")
    resources = list(rows[:MOST])
    prefetch_related_objects(resources, "sold_object")
    accounts = Account.objects.using(using).open()
    in_force: dict[int, list[Price]] = {}
    priced = Price.objects.using(using).filter(
        resource__in=[one.pk for one in resources], audience=None, amount__gt=0
    )
    for price in priced.in_force(now):
        in_force.setdefault(price.resource_id, []).append(price)
    found = []
    for resource in resources:
        prices = in_force.get(resource.pk, [])
        takes = tuple(
            offer
            for price in prices
            for account in accounts
            if (offer := offers.made(price, account, resource)) is not None
        )
        if not prices:
            continue
        interface = interfaces.of(resource)
        for path, methods in _places(resource):
            if interface is not None and methods == ("GET",):
                methods = (interface.method,)
            found.append(
                Listed(
                    resource.pk,
                    resource.title,
                    resource.description,
                    resource.mime_type,
                    resource.access,
                    resource.pass_seconds,
                    path,
                    methods,
                    tuple((taxes.to_pay(price.amount), price.currency) for price in prices),
                    takes,
                    max(resource.updated_at, *(price.valid_from for price in prices)),
                    resource.by_use,
                    interface,
                )
            )
    return sorted(found, key=lambda one: (one.path, one.title))


def _places(resource: Resource) -> Iterator[places.Place]:
    """Where it is sold, and for which methods."""
    if resource.access == Resource.Access.BALANCE:
        if top_up := path_of("paywall:top_up", resource.slug):
            yield top_up, ("GET",)
        return
    where = getattr(resource.sold_object, "get_absolute_url", None)
    if where is not None:
        yield where(), ("GET",)
    yield from places.of_rule(resource)
    yield from places.of_views(resource)


for _model in (Resource, Price, Account, UsageTerms):
    post_save.connect(forget, sender=_model, dispatch_uid=f"paywall.listing.{_model.__name__}")
    post_delete.connect(forget, sender=_model, dispatch_uid=f"paywall.listing.{_model.__name__}")
