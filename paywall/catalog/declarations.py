"""Resources declared in code: made when they do not exist; from then on the admin rules."""

from __future__ import annotations

import logging
import re
import traceback
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from importlib import import_module
from pathlib import Path
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.db import router, transaction

import paywall
from paywall import conf, interface
from paywall.money import MOST

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a decorator says of the resource that it sells."""

    slug: str
    price: Decimal | None
    """None: only the slug is named, and somebody makes the resource in the admin."""
    currency: str | None
    fields: dict[str, Any] = field(default_factory=dict)
    """The resource's other fields: title, description, policy, ..."""


_declared: dict[str, Declaration] = {}
_views: dict[str, str] = {}
"""Which view sells a slug, for those who read errors."""

POLICIES = ("after", "before", "background")
ACCESSES = ("request", "period", "forever")
FIELDS = frozenset(
    {
        "title",
        "description",
        "mime_type",
        "policy",
        "access",
        "pass_seconds",
        "payment_header",
        "by_use",
        "interface",
    }
)


def declare(
    slug: str, price: str | int | Decimal | None, currency: str | None, **more: Any
) -> None:
    """Remember that code sells a resource. Raises `ImproperlyConfigured` for nonsense.

    Two views may sell one resource; only one of them may say what it costs.
    """
    unknown = more.keys() - FIELDS
    if unknown:
        raise TypeError(f"payment_required({slug!r}): no such field: {', '.join(sorted(unknown))}.")
    if price is None and (more or currency):
        raise ImproperlyConfigured(
            f"payment_required({slug!r}): without a price, it is described in the admin."
        )
    _check(slug, currency, more)
    new = Declaration(slug, _price(slug, price), currency, more)
    known = _declared.get(slug)
    if known is not None and known.price is not None:
        if new.price is not None and new != known:
            raise ImproperlyConfigured(
                f"payment_required({slug!r}) is declared twice, and differently."
            )
        return
    _declared[slug] = new


def name_view(slug: str, view: Any) -> None:
    """Remember which view sells a slug."""
    module, name = getattr(view, "__module__", ""), getattr(view, "__qualname__", repr(view))
    _views.setdefault(slug, f"{module}.{name}".strip("."))


def view_of(slug: str) -> str:
    return _views.get(slug, "")


def _check(slug: str, currency: str | None, more: dict[str, Any]) -> None:
    """What the database would refuse, said where it was written. Raises `ImproperlyConfigured`."""
    trouble = ""
    access, seconds = more.get("access", "request"), more.get("pass_seconds")
    if not re.fullmatch(r"[-a-zA-Z0-9_]{1,200}", slug):
        trouble = "a slug is letters, digits, - and _, 200 at most"
    elif currency is not None and not re.fullmatch("[A-Z]{3}", str(currency)):
        trouble = f"{currency!r} is no currency: three capital letters, as in ISO 4217"
    elif more.get("policy", "after") not in POLICIES:
        trouble = f"policy is one of {', '.join(POLICIES)}, not {more['policy']!r}"
    elif access not in ACCESSES:
        trouble = f"access is one of {', '.join(ACCESSES)}, not {access!r}"
    elif access == "period" and not (type(seconds) is int and seconds > 0):
        trouble = "a pass for a time (access='period') needs its duration: pass_seconds=86400"
    elif access != "period" and seconds is not None:
        trouble = "pass_seconds goes with access='period'"
    elif wrong := _wrong_interface(more.get("interface")):
        trouble = f"interface: {wrong}"
    elif more.get("by_use") and (access != "request" or more.get("policy") == "before"):
        trouble = (
            "by_use is for one request, and known after the view: access='request', not before"
        )
    elif more.get("payment_header", "") not in ("", "authorization", "own"):
        trouble = "payment_header is authorization or own"
    elif len(str(more.get("title", ""))) > 200 or len(str(more.get("mime_type", ""))) > 100:
        trouble = "a title has 200 characters at most, a mime_type 100"
    if trouble:
        raise ImproperlyConfigured(f"payment_required({slug!r}){_caller()}: {trouble}.")


def _wrong_interface(said: Any) -> str:
    if said is None:
        return ""
    try:
        interface.read(said)
    except ValueError as error:
        return str(error)
    return ""


def _caller() -> str:
    """Where in the site's code the view is, for an error: outside of the paywall."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith(_HERE):
            return f" in {frame.filename}, line {frame.lineno}"
    return ""


_HERE = str(Path(paywall.__file__).parent)


def declared() -> list[Declaration]:
    """All that the site's code sells by slug. Imports the URLconf: views declare there."""
    urlconf = getattr(django_settings, "ROOT_URLCONF", None)
    if urlconf:
        import_module(urlconf)
    return list(_declared.values())


def sync(using: str | None = None) -> list[str]:
    """Make the resources that are declared with a price and do not exist; return their slugs."""
    from paywall.models import Price, Resource

    using = using or router.db_for_write(Resource)
    made = []
    for declaration in declared():
        if declaration.price is None:
            continue
        with transaction.atomic(using=using):
            resource, is_new = Resource.objects.using(using).get_or_create(
                slug=declaration.slug,
                defaults={
                    "title": declaration.slug.replace("-", " ").capitalize(),
                    **declaration.fields,
                },
            )
            if is_new:
                Price.objects.using(using).create(
                    resource=resource,
                    amount=declaration.price,
                    currency=declaration.currency or conf.get().currency,
                )
                made.append(declaration.slug)
    return made


def after_migrate(*, using: str, verbosity: int = 1, apps: Any = None, **_: Any) -> None:
    """Called by `migrate`. Tables of another version, on the way back, are left alone."""
    from paywall.models import Price, Resource

    if not router.allow_migrate_model(using, Resource):
        return
    if apps is not None and not all(_is_as_in_code(apps, model) for model in (Price, Resource)):
        return
    made = sync(using)
    if made and verbosity >= 1:
        print(f"  Paywall resources made: {', '.join(made)}")


def _is_as_in_code(migrated: Any, model: Any) -> bool:
    """Whether the database has a model's table as the code knows it."""
    try:
        found = migrated.get_model("paywall", model.__name__)
    except LookupError:
        return False
    return {f.column for f in found._meta.fields} == {f.column for f in model._meta.fields}


def _price(slug: str, price: str | int | Decimal | None) -> Decimal | None:
    if price is None:
        return None
    if isinstance(price, (float, bool)):
        raise TypeError(f'payment_required({slug!r}): write the price as a string, "0.01".')
    try:
        amount = Decimal(price)
    except InvalidOperation as error:
        raise ImproperlyConfigured(
            f"payment_required({slug!r}): {price!r} is not an amount."
        ) from error
    too_much = not amount.is_finite() or amount > MOST
    if too_much or amount <= 0 or amount != amount.quantize(Decimal("1e-8")):
        raise ImproperlyConfigured(
            f"payment_required({slug!r}): a price is more than 0, {MOST:,} at most, with 8 "
            "decimals at most."
        )
    return amount
