"""Orders that are paid by card: a Checkout Session each, and what became of it.

The return of the buyer, a webhook, and a look of our own all end in `fulfil`, in any order and any
number of times. It believes nobody: the session is read from Stripe again (docs.stripe.com/
checkout/fulfillment).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from paywall import conf, crashpoints, durable, ledger
from paywall.exceptions import Code, Refused, StaleMove, Unavailable
from paywall.models import Order, Payment
from paywall.models.literals import Literal
from paywall.models.payments import State
from paywall.rails.base import Unreachable
from paywall.vocabulary import Claim, Paid

from . import api, terms
from .terms import RAIL

if TYPE_CHECKING:
    from paywall.checkout.methods import Start
    from paywall.models.payments import PaymentQuerySet
    from paywall.vocabulary import Offer

log = logging.getLogger(__name__)

SHORTEST, LONGEST = 35 * 60, 24 * 3600
"""Seconds for which a session is open: Stripe's limits, with five minutes to ask once more."""

MADE_AGAIN = timedelta(minutes=4)
"""For how long an order whose session is not known can have it made with the same words."""

MARK = "paywall_order"
"""Under which a payment's metadata at Stripe names its order."""

EXPAND = ["payment_intent.latest_charge.balance_transaction"]


@dataclass(frozen=True, slots=True)
class Opened:
    """An order, and where its buyer goes on to pay; "" where there is nothing to pay any more."""

    order: Order
    url: str


def open_(offer: Offer, start: Start) -> Opened:
    """An order for an offer, or the one that this browser has open for it, with its session.

    Raises `Unavailable` where Stripe does not answer: the order stays, and the next click has its
    session made with the same idempotency key, so there are never two.
    """
    purpose = start.purpose
    order = ledger.open_order_of(purpose.holder, purpose.resource_id, RAIL)
    if order is not None and (found := _still_good(order, offer, start)) is not None:
        return found
    seconds = min(LONGEST, max(SHORTEST, conf.get().order_timeout))
    order = ledger.open_order(offer, purpose, seconds=seconds, user_id=start.user_id)
    crashpoints.reach("card: ordered")
    return Opened(order, _session(order, start))


def _still_good(order: Order, offer: Offer, start: Start) -> Opened | None:
    if order.taken_offer.amount != offer.amount or order.account_id != offer.account_id:
        return None
    if order.reference is None:
        is_young = timezone.now() - order.created_at < MADE_AGAIN
        return Opened(order, _session(order, start)) if is_young else None
    session = _asked(order.reference)
    if session["status"] == "open":
        return Opened(order, str(session["url"]))
    if session["status"] == "complete":
        try:
            came_to_nothing = fulfil(session) is State.FAILED
        except StaleMove as error:
            raise Unavailable(Code.SETTLEMENT_PENDING) from error
        now = ledger.order_of(order.holder, order.public_id) or order
        return None if came_to_nothing else Opened(now, "")
    return None


def _session(order: Order, start: Start) -> str:
    """Where the order's session is; made now, or found again by its key."""
    returned = start.request.build_absolute_uri(reverse("paywall:returned", args=[order.public_id]))
    offer, about = order.taken_offer, {MARK: order.public_id}
    intent: dict[str, Any] = {"metadata": about}
    if offer.terms.get("descriptor"):
        intent["statement_descriptor_suffix"] = offer.terms["descriptor"]
    params: dict[str, Any] = {
        "mode": "payment",
        "client_reference_id": order.public_id,
        "metadata": about,
        "payment_intent_data": intent,
        "success_url": returned,
        "cancel_url": order.url,
        "expires_at": int(order.expires_at.timestamp()),
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": offer.currency.lower(),
                    "unit_amount": offer.amount,
                    "product_data": {"name": (start.sale.title or start.sale.slug)[:250]},
                },
            }
        ],
    }
    try:
        made = api.ask(
            lambda stripe: stripe.v1.checkout.sessions.create(
                params,  # type: ignore[arg-type]
                options={"idempotency_key": f"paywall-order-{order.public_id}"},
            )
        )
    except Unreachable as error:
        log.warning("order=%s: no checkout session: %s", order.public_id, error)
        raise Unavailable(Code.FACILITATOR_UNAVAILABLE) from error
    except api.NotTaken as error:
        log.error("order=%s: Stripe made no session: %s %s", order.public_id, error.code, error)
        raise Unavailable(Code.FACILITATOR_UNAVAILABLE) from error
    crashpoints.reach("card: session made")
    ledger.order_sent_to(order, str(made.id))
    return str(made.url)


def _asked(session_id: str) -> dict[str, Any]:
    """A session as Stripe has it. Raises `Unavailable`."""
    try:
        return session(session_id)
    except (Unreachable, api.NotTaken) as error:
        raise Unavailable(Code.FACILITATOR_UNAVAILABLE) from error


def session(session_id: str) -> dict[str, Any]:
    """A session as Stripe has it now, with its payment. Raises `Unreachable`, `api.NotTaken`."""
    found = api.ask(
        lambda stripe: stripe.v1.checkout.sessions.retrieve(session_id, {"expand": EXPAND})
    )
    return api.plain(found)


def look(order: Order) -> None:
    """Look what became of an order's session. Raises `Unreachable`, `StaleMove`."""
    if order.reference is None:
        return
    try:
        fulfil(session(order.reference))
    except api.NotTaken as error:
        log.error("order=%s: Stripe has no %s: %s", order.public_id, order.reference, error)


def fulfil(found: dict[str, Any]) -> State | None:
    """Write down what a session says, as `session` read it. It does nothing twice.

    Returns the state of its payment; None where there is none. Raises `StaleMove` where somebody
    else was at the same payment: to be told again.
    """
    order = _order_of(found)
    if order is None:
        log.info("The checkout session %s is not one of ours", found["id"])
        return None
    intent = found.get("payment_intent")
    if found["status"] != "complete" or not isinstance(intent, dict):
        return None
    claim = Claim(identity=identity(intent["id"]), amount=int(found["amount_total"]))
    if found["payment_status"] == "paid":
        asked = order.currency.lower()
        trouble = "" if found["currency"] == asked else f"it is in {found['currency']}"
        payment = ledger.order_paid(order, claim, proof(intent, found["id"]), trouble=trouble)
        crashpoints.reach("card: paid")
        return State(payment.state)
    payment = ledger.order_pending(order, claim, intent["id"])
    if payment.state == State.SETTLING and intent["status"] in NEVER:
        ledger.failed(payment, Code.PAYMENT_FAILED, declined(intent))
    return State(payment.state)


NEVER = frozenset({"canceled", "requires_payment_method"})
"""States of a PaymentIntent in which a payment that was on its way has failed."""


def identity(intent_id: str) -> str:
    """By which the ledger knows a PaymentIntent."""
    return f"stripe:{intent_id}"


def payment_of(intent_id: str, among: PaymentQuerySet | None = None) -> Payment | None:
    """Ours, of a PaymentIntent: an order's, or a token's."""
    if not intent_id:
        return None
    rows = Payment.objects.using(durable.alias()) if among is None else among
    found = rows.filter(identity=identity(intent_id)).first()
    # The second condition says to the database that the index of references will do.
    known = Q(reference=intent_id) & ~Q(reference=Literal(""))
    return found or rows.filter(known, rail=RAIL).first()


def proof(intent: dict[str, Any], session_id: str = "") -> Paid:
    """What proves a PaymentIntent that succeeded, with its charge expanded."""
    charge = intent.get("latest_charge")
    charge = charge if isinstance(charge, dict) else {"id": charge}
    evidence = {"charge": charge["id"], "session": session_id}
    return Paid(
        intent["id"],
        final=True,
        evidence={name: value for name, value in evidence.items() if value},
        fee=_fee(charge.get("balance_transaction"), str(intent["currency"])),
    )


def _fee(booked: Any, currency: str) -> Decimal | None:
    """What Stripe kept, in the payment's currency; None while it is not booked, or where it is
    booked in another one."""
    if not isinstance(booked, dict) or booked["currency"] != currency:
        return None
    return Decimal(int(booked["fee"])).scaleb(-terms.decimals(currency.upper()))


def declined(intent: dict[str, Any]) -> str:
    """Why a payment failed, for the owner."""
    error = intent.get("last_payment_error") or {}
    return str(error.get("decline_code") or error.get("code") or intent["status"])


def _order_of(found: dict[str, Any]) -> Order | None:
    rows = Order.objects.using(durable.alias()).filter(rail=RAIL)
    order = rows.filter(reference=found["id"]).first()
    if order is None and (public_id := found.get("client_reference_id")):
        # Its session was made, and we died before it was written.
        order = rows.filter(public_id=public_id, reference=None).first()
        if order is not None:
            ledger.order_sent_to(order, found["id"])
    return order


def offer_of(offers: tuple[Offer, ...]) -> Offer:
    """The offer that is paid by card. Raises `Refused` where there is none."""
    for offer in offers:
        if offer.rail == RAIL:
            return offer
    raise Refused(Code.NO_MATCHING_OFFER)


ROUND = 50


def end() -> None:
    """Orders whose time is over: was one paid, and nobody told us? If not, it is expired.

    Raises `Unreachable`: then it stays open.
    """
    for order in ledger.ended_orders().filter(rail=RAIL)[:ROUND]:
        if api.is_set_up():
            look(order)
        ledger.expire_order(order)
