"""Changing prices: each change is a new row, and a line in the admin's log with what was before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import slugify
from django.utils.translation import gettext

from paywall import staff_log
from paywall.models import Audience, Price, Resource


@dataclass(frozen=True, slots=True)
class Change:
    """What one resource costs, and what it shall cost."""

    resource: Resource
    before: Price | None
    after: Decimal
    currency: str


def set_price(
    resource: Resource,
    amount: Decimal,
    currency: str,
    *,
    by: Any,
    valid_from: datetime | None = None,
    audience: Audience | None = None,
) -> Price:
    """Supersede a resource's price, now or from a moment on. Raises `ValidationError`."""
    at = valid_from or timezone.now()
    price = Price(
        resource=resource, amount=amount, currency=currency, valid_from=at, audience=audience
    )
    return _put(price, by)


def set_free(
    resource: Resource,
    free_uses: int,
    currency: str,
    *,
    free_per: str,
    free_every: str,
    free_balance: Decimal | None = None,
    by: Any,
    valid_from: datetime | None = None,
    audience: Audience | None = None,
) -> Price:
    """So many free for an audience, or for everyone, now or from a moment on. Raises
    `ValidationError`."""
    at = valid_from or timezone.now()
    audience = audience or named(Audience.Kind.EVERYONE, gettext("Everyone"), by=by)
    price = Price(
        resource=resource,
        amount=Decimal(0),
        currency=currency,
        valid_from=at,
        audience=audience,
        free_uses=free_uses,
        free_per=free_per,
        free_every=free_every,
        free_balance=free_balance,
    )
    return _put(price, by)


def _put(price: Price, by: Any) -> Price:
    """A new price, in the log beside what it supersedes. Raises `ValidationError`."""
    price.supersedes = in_force(price.resource, price.currency, price.valid_from, price.audience)
    price.full_clean()
    price.save()
    note(by, price, price.supersedes)
    return price


def named(kind: str, name: str, *, by: Any, **fields: Any) -> Audience:
    """The audience of that kind (and group, or coupon), made if it is not there."""
    found = Audience.objects.filter(kind=kind, active=True, **fields).order_by("pk").first()
    if found is None:
        short = name[:90]
        alike = Audience.objects.filter(name__startswith=short)
        taken = set(alike.values_list("name", flat=True))
        names = (short if n == 1 else f"{short} {n}" for n in range(1, len(taken) + 2))
        found = Audience(kind=kind, name=next(n for n in names if n not in taken), **fields)
        found.full_clean()
        found.save()
        staff_log.write(by, found, f"Made for a price: {found.get_kind_display()}")
    return found


def note(by: Any, price: Price, before: Price | None) -> None:
    """Write a price's change into the admin's log."""
    what = f"Price for {price.audience}" if price.audience else "Price"
    later = price.valid_from > timezone.now()
    at = date_format(timezone.localtime(price.valid_from), "SHORT_DATETIME_FORMAT")
    staff_log.changed(by, price.resource, what, before, f"{price} from {at}" if later else price)


def in_force(
    resource: Resource, currency: str, at: datetime, audience: Audience | None = None
) -> Price | None:
    """The price that holds at a time, for all or for an audience; None where there is none."""
    prices = Price.objects.filter(resource=resource, audience=audience, currency=currency)
    return prices.in_force(at).first()


def raised(resources: Iterable[Resource], percent: Decimal, places: int) -> list[Change]:
    """What prices come to that are raised (or lowered) by so many percent, rounded half up to
    so many decimals; in every currency in which there is a price. One query."""
    chosen = list(resources)
    prices = Price.objects.filter(resource__in=chosen, audience=None, amount__gt=0)
    step = Decimal(1).scaleb(-places)
    changes = []
    for price in prices.in_force(timezone.now()).select_related("resource").order_by("pk"):
        after = (price.amount * (100 + percent) / 100).quantize(step, ROUND_HALF_UP)
        changes.append(Change(price.resource, price, after, price.currency))
    return changes


def set_to(resources: Iterable[Resource], amount: Decimal, currency: str) -> list[Change]:
    """The same price for all of them. One query."""
    chosen = list(resources)
    prices = Price.objects.filter(resource__in=chosen, audience=None, currency=currency)
    before = {price.resource_id: price for price in prices.in_force(timezone.now())}
    return [Change(r, before.get(r.pk), amount, currency) for r in chosen]


@transaction.atomic
def apply(changes: Iterable[Change], *, by: Any, valid_from: datetime | None = None) -> int:
    """Make the changes, all or none. Raises `ValidationError`. Returns how many there were."""
    number = 0
    for change in changes:
        if change.before is None or change.before.amount != change.after:
            set_price(change.resource, change.after, change.currency, by=by, valid_from=valid_from)
            number += 1
    return number


@transaction.atomic
def duplicate(resource: Resource, by: Any) -> Resource:
    """The same once more, inactive, with its prices in force; sold by code or rule as soon as
    somebody says where."""
    prices = list(Price.objects.filter(resource=resource).in_force(timezone.now()))
    twin = Resource.objects.get(pk=resource.pk)
    twin.pk, twin._state.adding = None, True
    twin.slug = _free_slug(resource.slug)
    twin.title = f"{resource.title[:190]} (copy)"
    twin.active, twin.path, twin.methods = False, "", ""
    twin.content_type, twin.object_id = None, None
    twin.save()
    for price in prices:
        price.pk, price._state.adding = None, True
        price.resource, price.valid_from = twin, timezone.now()
        price.save()
    staff_log.write(by, twin, f"Copied from {resource.slug}")
    return twin


def _free_slug(slug: str) -> str:
    stem = slugify(f"{slug[:180]}-copy")
    taken = set(Resource.objects.filter(slug__startswith=stem).values_list("slug", flat=True))
    names = (stem if number == 1 else f"{stem}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)
