"""What Stripe tells us: an event says only which object to read again, and its id comes once.

    PAYWALL = {"STRIPE": {"API_KEY": "sk_...", "WEBHOOK_SECRET": "whsec_..."}}

Stripe > Developers > Webhooks: the endpoint is `.../paywall/hooks/card/`, the events are `EVENTS`.
"""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.http import HttpResponse, JsonResponse
from django.utils import timezone

from paywall import conf, durable, ledger
from paywall.exceptions import LedgerUnavailable, StaleMove
from paywall.logs import plain
from paywall.models import Dispute, Notice, Payment, Refund
from paywall.rails.base import Unreachable
from paywall.settlement import refunds as refunding

from . import api, orders, refunds
from .terms import RAIL

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from django.http import HttpRequest

log = logging.getLogger(__name__)

TOLERANCE = 300
"""Seconds after which a signed event is too old (Stripe's own default)."""

LONGEST = 512 * 1024
"""Bytes of an event."""

KEPT_FOR = timedelta(days=90)
"""Longer than Stripe sends or lists an event."""

SESSIONS = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
)
REFUNDS = ("charge.refunded", "refund.created", "refund.updated", "refund.failed")
DISPUTES = (
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
)
EVENTS = (*SESSIONS, *REFUNDS, *DISPUTES)
"""Those that mean something here; any other is thanked for and forgotten."""


def hear(request: HttpRequest) -> HttpResponse:
    """One delivery of a webhook: 400 for what is not Stripe's, 503 for what could not be done yet,
    so that Stripe sends it again."""
    event, why = _believed(request)
    if event is None:
        log.warning("A webhook is refused: %s", why)
        return JsonResponse({"detail": why}, status=400)
    try:
        told = take(event)
    except (Unreachable, LedgerUnavailable, StaleMove) as error:
        log.warning("event=%s waits: %s", plain(event["id"]), error)
        return JsonResponse({"detail": "Not now: send it again."}, status=503)
    return JsonResponse({"detail": told})


def _believed(request: HttpRequest) -> tuple[dict[str, Any] | None, str]:
    """The event, if Stripe signed it of late; or why not."""
    cards = conf.get().cards()
    if cards is None or not cards.webhook_secret:
        return None, "There is no WEBHOOK_SECRET in PAYWALL['STRIPE']."
    import stripe

    body = request.body  # before anything reads the request's POST
    if len(body) > LONGEST:
        return None, "It is too long."
    try:
        stripe.WebhookSignature.verify_header(
            body,
            request.META.get("HTTP_STRIPE_SIGNATURE", ""),
            cards.webhook_secret.reveal(),
            TOLERANCE,
        )
        event = json.loads(body)
        about = event["data"]["object"]["id"]
    except stripe.SignatureVerificationError:
        return None, "Its signature is not Stripe's, or too old."
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, "It is no event."
    if not all(isinstance(text, str) for text in (event.get("id"), event.get("type"), about)):
        return None, "It is no event."
    return event, ""


def take(event: Mapping[str, Any]) -> str:
    """See to one event, once. Raises `Unreachable`, `LedgerUnavailable`, `StaleMove`: then it is
    to be told again."""
    kind, about = str(event["type"]), str(event["data"]["object"]["id"])
    if kind not in EVENTS:
        return "nothing to do"
    notice = _note(str(event["id"])[:255], kind, about[:255])
    if notice.done_at is not None:
        return "done already"
    try:
        _see_to(kind, about)
    except api.NotTaken as error:
        # Stripe itself does not know what it told of: nothing will come of it.
        _done(notice, f"{error.code} {error}")
        log.error("event=%s about %s: %s %s", notice.identity, plain(about), error.code, error)
        return "not found"
    _done(notice)
    return "done"


@durable.write
def _note(identity: str, kind: str, about: str) -> Notice:
    notice, _ = Notice.objects.using(durable.alias()).get_or_create(
        rail=RAIL, identity=identity, defaults={"kind": kind, "about": about}
    )
    return notice


@durable.write
def _done(notice: Notice, trouble: str = "") -> None:
    rows = Notice.objects.using(durable.alias()).filter(pk=notice.pk)
    rows.update(done_at=timezone.now(), trouble=trouble)


def forget_old(most: int = 1_000) -> int:
    """Delete what was told long ago. Returns how many."""
    before = timezone.now() - KEPT_FOR
    rows = Notice.objects.using(durable.alias()).filter(received_at__lt=before)
    keys = list(rows.order_by("received_at").values_list("pk", flat=True)[:most])
    return Notice.objects.using(durable.alias()).filter(pk__in=keys).delete()[0]


# -------------------------------------------------------------------------- What to do


def _see_to(kind: str, about: str) -> None:
    if kind in SESSIONS:
        orders.fulfil(orders.session(about))
    elif kind in DISPUTES:
        found = api.ask(lambda stripe: stripe.v1.disputes.retrieve(about))
        _dispute(api.plain(found))
    elif kind == "charge.refunded":
        found_ = api.ask(lambda stripe: stripe.v1.charges.retrieve(about))
        _refunded(str(api.plain(found_).get("payment_intent") or ""))
    else:
        refund = api.ask(lambda stripe: stripe.v1.refunds.retrieve(about))
        _refunded(str(api.plain(refund).get("payment_intent") or ""))


def _refunded(intent: str) -> None:
    """Refunds of a payment: ours are looked at soon, and those that the owner made at Stripe are
    written down."""
    payment = orders.payment_of(intent)
    if payment is None:
        return
    for found in refunds.of_payment(payment):
        reference = str(found["id"])
        ours = Refund.objects.using(durable.alias()).filter(payment=payment)
        if (found.get("metadata") or {}).get(refunds.MARK) or ours.filter(
            reference=reference
        ).exists():
            continue
        if found["status"] in ("failed", "canceled"):
            continue
        fresh = Payment.objects.using(durable.alias()).get(pk=payment.pk)
        try:
            refunding.request(
                fresh,
                int(found["amount"]),
                "Refunded at Stripe",
                seen=int(fresh.refunded),
                sent_in=reference,
            )
        except refunding.RefundRefused as error:
            log.error(
                "payment=%s: refund %s of Stripe's does not fit: %s", payment.pk, reference, error
            )


def _dispute(found: Mapping[str, Any]) -> None:
    """A dispute as it stands now; an inquiry (`warning_...`) has taken nothing yet."""
    status = str(found["status"])
    payment = orders.payment_of(str(found.get("payment_intent") or ""))
    if payment is None or status.startswith("warning_"):
        log.info("The dispute %s (%s) is about none of our payments", found["id"], status)
        return
    dispute = ledger.disputed(
        payment, str(found["id"]), int(found["amount"]), str(found.get("reason") or "")
    )
    if status in ("won", "lost", "prevented") and dispute.state == Dispute.State.OPEN:
        ledger.dispute_ended(dispute, won=status != "lost")


# ------------------------------------------------------------------------ After an outage


def catch_up(since: datetime) -> dict[str, int]:
    """See to all events since then that were not seen to. Returns how many came to what. Raises
    `Unreachable`."""
    counts: dict[str, int] = {}
    try:
        found = api.ask(
            lambda stripe: list(
                stripe.v1.events.list(
                    {
                        "created": {"gte": int(since.timestamp())},
                        "types": list(EVENTS),
                        "limit": 100,
                    }
                ).auto_paging_iter()
            )
        )
    except api.NotTaken as error:
        raise Unreachable(f"{error.code} {error}") from error
    for event in reversed(found):
        told = take(api.plain(event))
        counts[told] = counts.get(told, 0) + 1
    return counts
