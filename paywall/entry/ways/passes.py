"""A pass: what was paid for before is open to its holder."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from django.db import connections
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.timezone import make_aware

from paywall import conf, durable, holders, ledger
from paywall.effects import query
from paywall.exceptions import Code, Refused
from paywall.ledger import pass_cache
from paywall.models import AccessPass, Payment

from .base import OfBrowser, Ticket, Way

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any

    from django.http import HttpRequest

    from paywall.catalog.offers import ForSale
    from paywall.effects import Steps

    from .base import Visit


class Passes(Way):
    """For resources that one payment opens for longer."""

    name: ClassVar[str] = "pass"

    def admit(self, visit: Visit) -> Steps[Ticket | None] | None:
        return self._look(visit) if visit.sale.opened_by else None

    def _look(self, visit: Visit) -> Steps[Ticket | None]:
        return (yield from query(find, visit.request, visit.sale))


class _Pass(NamedTuple):
    """What has to be known of a pass that is open."""

    pk: int
    holder: str
    expires_at: datetime | None
    payment_id: int | None


_OPEN = (
    "SELECT p.id, p.holder, p.expires_at, p.payment_id FROM {} WHERE {} = %s "
    "AND p.resource_id = %s AND p.revoked_at IS NULL "
    "AND (p.expires_at IS NULL OR p.expires_at > %s)"
)
_PASSES = "paywall_accesspass p"
_PARTS = {
    "browser": _OPEN.format(_PASSES, "p.holder"),
    "device": _OPEN.format(
        f"paywall_passdevice d JOIN {_PASSES} ON p.id = d.access_pass_id", "d.holder"
    ),
    "user": _OPEN.format(_PASSES, "p.user_id"),
    "wallet": _OPEN.format(f"paywall_payment y JOIN {_PASSES} ON p.payment_id = y.id", "y.payer"),
}
"""Each has an index of its own: of an OR of them a database would make a walk through all passes of
a resource. Written out: Django takes longer to put them together than a database to answer."""


@durable.read
def _first(resource_id: int, **known: Any) -> _Pass | None:
    """A pass for a resource of one of those who are known (by the names of `_PARTS`), in one query;
    none where nobody is."""
    asked = {kind: value for kind, value in known.items() if value}
    if not asked:
        return None
    connection = connections[durable.alias()]
    if "user" in asked:
        field = AccessPass._meta.get_field("user")
        asked["user"] = field.get_db_prep_value(asked["user"], connection)
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    sql = " UNION ALL ".join(_PARTS[kind] for kind in asked)
    values = [part for value in asked.values() for part in (value, resource_id, now)]
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} LIMIT 1", values)
        row = cursor.fetchone()
    if row is None:
        return None
    pk, holder, expires_at, payment_id = row
    if isinstance(expires_at, str):  # SQLite's
        expires_at = parse_datetime(expires_at)
        expires_at = expires_at and make_aware(expires_at, UTC)
    return _Pass(pk, holder, expires_at, payment_id)


def admits(request: HttpRequest, resource_id: int) -> bool:
    """Whether the request holds a pass for the resource, by its browser or its user. At most one
    query, and none for strangers."""
    holder, user_id = holders.browser(request), holders.user_id(request)
    if holder and pass_cache.is_open(resource_id, holder):
        return True
    found = _first(resource_id, browser=holder, device=holder, user=user_id)
    if found is not None and holder and found.holder == holder:
        pass_cache.keep(resource_id, holder, found.expires_at)
    return found is not None


def find(request: HttpRequest, sale: ForSale) -> Ticket | None:
    """The ticket of a request that holds a pass, for the resource or for its bundle. Raises
    `Refused` where the pass is open on as many devices as it may be."""
    for resource_id in sale.opened_by:
        ticket = _find(request, resource_id)
        if ticket is not None:
            return ticket
    return None


def _find(request: HttpRequest, resource_id: int) -> Ticket | None:
    """By its browser, its user, or a wallet that signs."""
    most = conf.get().pass_devices
    if not most:
        if admits(request, resource_id):
            return Ticket()
    else:
        holder = holders.browser(request)
        if _first(resource_id, browser=holder, device=holder) is not None:
            return Ticket()
        of_user = _first(resource_id, user=holders.user_id(request))
        if of_user is not None:
            return _in_this_browser(request, of_user.pk, most)
    wallet = holders.wallet_of(request)
    found = None if wallet is None else by_wallet(resource_id, wallet)
    if found is None:
        return None
    return _in_this_browser(request, found, most) if _is_browser(request) else Ticket()


def by_wallet(resource_id: int, wallet: str) -> int | None:
    """The pass of a payment from that wallet."""
    found = _first(resource_id, wallet=wallet)
    return None if found is None else found.pk


def _is_browser(request: HttpRequest) -> bool:
    """Programs sign each time; a browser comes back by its cookie."""
    return "HTTP_SEC_FETCH_SITE" in request.META or bool(holders.browser(request))


def _in_this_browser(request: HttpRequest, pass_id: int, most: int) -> Ticket:
    secret = holders.secret_of(request)
    if not ledger.add_device(pass_id, holders.hash_of(secret), most):
        raise Refused(Code.TOO_MANY_DEVICES, status=403)
    return OfBrowser(request, secret)


def payment_of(request: HttpRequest, resource_id: int) -> Payment | None:
    """The payment by which who asks has a pass for a resource: by browser or user."""
    holder = holders.browser(request)
    found = _first(resource_id, browser=holder, device=holder, user=holders.user_id(request))
    if found is None or found.payment_id is None:
        return None
    return Payment.objects.using(durable.alias()).get(pk=found.payment_id)
