"""One request through the paywall, from top to bottom.

`through` is written once, as steps; the decorator runs it in a thread or on an event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from django.http import StreamingHttpResponse

from paywall import conf, durable, holders, ledger, settlement, tracing
from paywall.catalog import audiences, offers
from paywall.django_internals import free_resources
from paywall.effects import Presence, call, query
from paywall.entry import (
    asked,
    caches,
    counting,
    crawlers,
    credentials,
    metering,
    pages,
    repeats,
    responses,
    streams,
    verification,
)
from paywall.entry.ways import registry as ways
from paywall.entry.ways.base import Visit
from paywall.exceptions import Code, LedgerUnavailable, NotForSale, Refused, StaleMove, Unavailable
from paywall.ledger import answers, receipts
from paywall.ledger import usage as ledger_usage
from paywall.models import Resource
from paywall.models.payments import State
from paywall.protocols import registry as protocols
from paywall.visitors import recognition
from paywall.visitors.crawl_log import Ended
from paywall.vocabulary import Outcome, Rejected, Settled, Unknown

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from paywall.catalog.offers import ForSale, Reference
    from paywall.effects import Steps
    from paywall.entry.ways.base import Ticket
    from paywall.models import Payment
    from paywall.vocabulary import Credential, Offer, Settlement

log = logging.getLogger(__name__)

NEVER_CHARGED = frozenset({"HEAD", "OPTIONS", "TRACE"})
"""Methods that ask about a resource: they get the challenge, whatever they bring."""


@dataclass(frozen=True, slots=True)
class Door:
    """What the gate stands before."""

    find: Callable[[], Steps[Reference]]
    """Which Resource is this? Raises `NotForSale`."""
    view: Callable[[], Any]
    """The view, for a request that brought a payment: nobody can forge that."""
    view_for_browsers: Callable[[], Any]
    """The view behind Django's CSRF check, for what a browser sends by itself."""
    presence: Presence = field(default_factory=Presence)
    """Whether whoever asked still waits."""
    teaser: Callable[[], Any] | None = None
    """What the view itself shows to who has not paid, if it says so."""
    login_url: str | None = None
    """Where the view itself sends people to sign in, if it says so."""


def through(request: HttpRequest, door: Door) -> Steps[HttpResponseBase]:
    """Let one request through, or answer it here."""
    with tracing.about(None):
        if not tracing.is_on():
            return (yield from _through(request, door))
        return (yield from _traced(request, door))


def _traced(request: HttpRequest, door: Door) -> Steps[HttpResponseBase]:
    with tracing.span("paywall.request") as told:
        response = yield from _through(request, door)
        told.tell(
            resource=getattr(getattr(request, "paywall_sale", None), "slug", None),
            payment=tracing.payment.get(),
            status=response.status_code,
        )
        return response


def _through(request: HttpRequest, door: Door) -> Steps[HttpResponseBase]:
    try:
        reference = yield from door.find()
        sale = offers.peek(reference) or (yield from query(offers.load, reference))
        return (yield from _sold(request, door, sale))
    except NotForSale as error:
        log.error("%s %s cannot be sold: %s", request.method, quote(request.path), error)
        return (yield from query(pages.not_for_sale, request, error))


def _sold(request: HttpRequest, door: Door, sale: ForSale) -> Steps[HttpResponseBase]:
    caches.keep_out(request)

    seen: Any = request
    visit = Visit(request, sale, is_a_question=request.method in NEVER_CHARGED)
    offer = None
    try:
        if recognition.is_signed(request):
            yield from query(recognition.of, request)
        ticket = yield from ways.admit(visit)
        if ticket is not None:
            seen.paywall_sale = sale
            seen.paywall = metering.of_ticket(ticket, sale)
            return (yield from _let_in(request, door, ticket, sale))
        if not audiences.is_the_same_for_all(sale):
            sale = (yield from visit.quote()).sale

        credential = _credential(request)
        if credential is None:
            yield from verification.may_pay(request, sale)
            counting.ended(request, sale, Ended.ASKED)
            caches.asked(request, sale)
            if responses.wants_page(request):
                if door.teaser is None:
                    caches.share_page(request, visit.sale)
                    return (yield from query(pages.challenge, request, sale, ""))
                return (
                    yield from query(
                        pages.challenge, request, sale, (yield from query(door.teaser))
                    )
                )
            caches.share(request, visit.sale)
            return responses.challenge(request, sale)
        seen_as = replace(asked.of(request), kept_url=audiences.url_to_keep(request))
        offer, claim = yield from verification.check(sale, credential, seen_as)
        crawlers.keep_to_limit(request, offer)
        before = yield from repeats.answered(request, sale, credential, claim, seen_as)
        if before is not None:
            _mark_paid(request, before.response, before.payment, before.receipt)
            counting.ended(request, sale, Ended.RETURNED)
            caches.answer_whole(request)
            return before.response
        yield from verification.may_pay(request, sale, claim)
        payment = yield from credentials.take(request, sale, credential, offer, claim, seen_as)
        tracing.payment.set(payment.pk)
        seen.paywall_sale, seen.paywall_is_paid, seen.paywall_payment = sale, True, payment
        seen.paywall = metering.of_payment(payment)
        return (yield from _sell(request, door, sale, payment))
    except Refused as refused:
        counting.ended(request, sale, Ended.REFUSED)
        if refused.status == 403 and pages.is_for_a_person(request):
            return (yield from query(pages.told, request, refused))
        return responses.refusal(request, sale, refused, _failure(offer, refused))
    except Unavailable as reason:
        return (yield from _unavailable(request, reason, offer))
    except LedgerUnavailable:
        log.exception("%s %s: nothing could be written", request.method, quote(request.path))
        broken = Unavailable(Code.UNAVAILABLE)
        return (yield from _unavailable(request, broken, offer))


def _unavailable(
    request: HttpRequest, reason: Unavailable, offer: Offer | None
) -> Steps[HttpResponseBase]:
    if pages.is_for_a_person(request):
        refresh = conf.get().retry_after
        return responses.retry_later((yield from query(pages.told, request, reason, refresh)))
    return responses.unavailable(reason, _failure(offer, reason))


def _let_in(
    request: HttpRequest, door: Door, ticket: Ticket, sale: ForSale
) -> Steps[HttpResponseBase]:
    """Serve who has a ticket; one for which nothing is delivered is given back."""
    try:
        response: HttpResponseBase = yield from call(door.view_for_browsers)
        why = _why_nothing_is_delivered(request, door, response)
        if why is None and ticket.most is not None:
            yield from metering.read(request, response)
    except BaseException:
        yield from ticket.give_back()
        raise
    try:
        if why is not None:
            yield from ticket.give_back()
        else:
            yield from ticket.use()
    except StaleMove as error:
        free_resources(response)
        raise Unavailable(Code.SETTLEMENT_PENDING) from error
    except BaseException:
        free_resources(response)
        raise
    ticket.mark(response)
    responses.say_terms(response, sale)
    if why is None:
        counting.ended(request, sale, ticket.ends)
    return response


def _why_nothing_is_delivered(
    request: HttpRequest, door: Door, response: HttpResponseBase
) -> Code | None:
    """The view failed; or sent its visitor to sign in, or said that nothing is new. Every other
    redirect is a delivery: its address may be what was bought."""
    status = response.status_code
    if status >= 400:
        return Code.VIEW_FAILED
    if status == 304 or responses.is_redirect_to_login(request, response, door.login_url):
        return Code.NOTHING_DELIVERED
    return None


def _credential(request: HttpRequest) -> Credential | None:
    if request.method in NEVER_CHARGED:
        return None
    return protocols.read_credential(request.META, conf.get().max_credential_bytes)


def _sell(
    request: HttpRequest, door: Door, sale: ForSale, payment: Payment
) -> Steps[HttpResponseBase]:
    """Settle and serve, in the order of the resource's policy; each payment delivers once."""
    try:
        if payment.state == State.CLAIMED and payment.on_credit:
            return (yield from _serve_on_credit(request, door, sale, payment))
        if payment.state == State.CLAIMED and (
            sale.policy != Resource.Policy.BEFORE or payment.is_by_use
        ):
            return (yield from _serve_then_settle(request, door, sale, payment))
        return (yield from _settle_then_serve(request, door, sale, payment))
    except StaleMove as error:
        # Somebody else took the payment over or delivered it, while we were at it.
        log.warning("payment=%s: %s", payment.pk, error)
        raise Unavailable(Code.SETTLEMENT_PENDING, reference=payment.reference) from error
    except LedgerUnavailable as error:
        if payment.state == State.CLAIMED:
            raise
        log.exception("payment=%s: what became of it could not be written", payment.pk)
        raise Unavailable(Code.SETTLEMENT_PENDING, reference=payment.reference) from error


def _serve_then_settle(
    request: HttpRequest, door: Door, sale: ForSale, payment: Payment
) -> Steps[HttpResponseBase]:
    """Policy `after`: run the view, hold what it answers, settle, release."""
    response, failed = yield from _serve_unpaid(request, door, payment)
    if failed:
        return response
    delivery = _Delivery(request, door, sale, response)
    try:
        if payment.is_by_use:
            yield from query(ledger_usage.measured, payment, metering.units_used(request, payment))
        result = yield from _settle(request, payment, then=delivery)
        _require_settled(payment, result)
        if not delivery.is_written:
            yield from query(_owe, payment)
            raise Unavailable(Code.SETTLEMENT_PENDING, reference=payment.reference)
    except BaseException:
        free_resources(response)
        raise
    return _release(request, sale, response, payment, delivery)


def _settle(
    request: HttpRequest, payment: Payment, then: _Delivery | None = None
) -> Steps[Settlement]:
    result = yield from settlement.settle(payment, then=then)
    if isinstance(result, Rejected) and not result.ours and payment.payer is None:
        yield from verification.was_bad(request)
    return result


def _serve_on_credit(
    request: HttpRequest, door: Door, sale: ForSale, payment: Payment
) -> Steps[HttpResponseBase]:
    """Policy `background`, within the exposure limits: serve at once, the engine settles."""
    response, failed = yield from _serve_unpaid(request, door, payment)
    if failed:
        return response
    released = yield from _deliver_and_release(request, door, response, sale, payment)
    if payment.is_by_use and isinstance(released, StreamingHttpResponse):
        streams.count(released, payment, metering.usage_of(request))
    return released


def _serve_unpaid(
    request: HttpRequest, door: Door, payment: Payment
) -> Steps[tuple[HttpResponseBase, bool]]:
    """Run the view before the money is taken. If it delivers nothing, the payment is not taken:
    then True comes with what it answered."""
    try:
        response: HttpResponseBase = yield from call(door.view)
        why = _why_nothing_is_delivered(request, door, response)
        if why is None and payment.is_by_use and not (payment.on_credit and response.streaming):
            yield from metering.read(request, response)
    except Exception as error:
        yield from _fail(payment, Code.VIEW_FAILED, type(error).__name__)
        raise
    except BaseException:
        # Who asked is gone, and may ask again.
        yield from query(ledger.let_go, payment, due_in=conf.get().view_timeout)
        raise
    if why is None:
        return response, False
    yield from _fail(payment, why, f"status {response.status_code}")
    outcome = _outcome(payment, success=False, code=why)
    responses.mark_paid(response, outcome, None)
    return response, True


def _settle_then_serve(
    request: HttpRequest, door: Door, sale: ForSale, payment: Payment
) -> Steps[HttpResponseBase]:
    """Policy `before`, and every payment that is collected after a first request broke off."""
    if payment.state == State.CLAIMED:
        _require_settled(payment, (yield from _settle(request, payment)))
    elif payment.state == State.SETTLING:
        result = yield from settlement.resolve(payment, buyer_waits=True)
        _require_settled(payment, result)
    # Settled, and ours to deliver: nobody else shall run the view meanwhile.
    yield from query(ledger.hold, payment, conf.get().view_timeout)
    try:
        response: HttpResponseBase = yield from call(door.view)
    except BaseException:
        yield from query(_owe, payment)
        raise
    if _why_nothing_is_delivered(request, door, response):
        _mark_paid(request, response, payment, (yield from query(_owe, payment)))
        return response
    return (yield from _deliver_and_release(request, door, response, sale, payment))


def _deliver_and_release(
    request: HttpRequest,
    door: Door,
    response: HttpResponseBase,
    sale: ForSale,
    payment: Payment,
) -> Steps[HttpResponseBase]:
    delivery = _Delivery(request, door, sale, response)
    try:
        yield from query(delivery, payment)
        if not delivery.is_written:
            yield from query(ledger.let_go, payment)
            raise Unavailable(Code.SETTLEMENT_PENDING, reference=payment.reference)
    except BaseException:
        free_resources(response)
        raise
    return _release(request, sale, response, payment, delivery)


class _Delivery:
    """What is written when a payment delivers, and what the response needs of it.

    To who hung up meanwhile nothing is delivered: it is there to be collected.
    """

    def __init__(
        self, request: HttpRequest, door: Door, sale: ForSale, response: HttpResponseBase
    ) -> None:
        self.request, self.door, self.sale, self.response = request, door, sale, response
        self.is_written = False
        self.receipt: str | None = None
        self.secret: str | None = None

    def __call__(self, payment: Payment) -> None:
        if self.door.presence.is_gone:
            return
        self.receipt, self.secret = _deliver(payment, self.sale, self.request, self.response)
        self.is_written = True


@durable.write
def _deliver(
    payment: Payment, sale: ForSale, request: HttpRequest, response: HttpResponseBase
) -> tuple[str | None, str | None]:
    """One transaction: once this is written, nothing may fail any more before the release."""
    secret = None if sale.is_by_request else holders.secret_of(request)
    goes_out = payment.is_by_use and payment.state == State.CLAIMED
    if goes_out and not response.streaming:
        ledger_usage.measured(payment, metering.units_used(request, payment))
    ledger.deliver(payment, sale, holders.hash_of(secret) if secret else "")
    if goes_out and response.streaming:
        ledger_usage.counted(payment, 0, streams.hold_for())
    answers.keep(payment, response)
    return receipts.path(payment), secret


@durable.write
def _owe(payment: Payment) -> str | None:
    """The view failed after the money was taken: the buyer may collect, with its receipt."""
    ledger.let_go(payment)
    return receipts.path(payment)


def _release(
    request: HttpRequest,
    sale: ForSale,
    response: HttpResponseBase,
    payment: Payment,
    delivery: _Delivery,
) -> HttpResponseBase:
    _mark_paid(request, response, payment, delivery.receipt)
    responses.say_terms(response, sale)
    paid = metering.paid_for(request, payment)
    counting.ended(request, sale, Ended.PAID, paid, payment.currency)
    if delivery.secret is not None:
        holders.hand(request, response, delivery.secret)
    caches.answer_whole(request)
    return response


def _require_settled(payment: Payment, result: Settled | Rejected | Unknown) -> None:
    """Raise what the buyer has to be told unless the payment is settled."""
    match result:
        case Unknown():
            raise Unavailable(
                Code.SETTLEMENT_PENDING, reference=result.reference or payment.reference
            )
        case Rejected(ours=True):
            log.error("payment=%s not taken: %s %s", payment.pk, result.code, result.detail)
            raise Unavailable(Code.FACILITATOR_UNAVAILABLE)
        case Rejected():
            detail = f"Nothing was charged: {result.code}."
            raise Refused(Code.SETTLEMENT_REFUSED, detail)


def _fail(payment: Payment, code: Code, why: str) -> Steps[None]:
    """Nothing was delivered, so the payment is not taken. If that cannot be written, the sweep
    will."""
    try:
        yield from query(ledger.failed, payment, code, why)
    except (LedgerUnavailable, StaleMove):
        log.exception("payment=%s was not taken; the view failed (%s)", payment.pk, why)


def _mark_paid(
    request: HttpRequest, response: HttpResponseBase, payment: Payment, receipt: str | None
) -> None:
    receipt_url = request.build_absolute_uri(receipt) if receipt else None
    outcome = _outcome(payment, success=True)
    if payment.is_by_use and payment.settled_at is None and response.streaming:
        outcome = replace(outcome, amount="")  # nobody knows it yet
    responses.mark_paid(response, outcome, receipt_url)
    if not payment.is_by_use:
        responses.put(response, crawlers.headers_of_paid(payment.price, payment.currency))


def _outcome(payment: Payment, *, success: bool, code: str = "") -> Outcome:
    return Outcome(
        success=success,
        network=payment.network,
        reference=payment.reference,
        payer=payment.payer or "",
        error_code=code,
        protocol=payment.protocol,
        amount=str(payment.atomic_amount) if success else "",
        url=payment.url,
        extra={"settlement": "pending"} if success and not payment.reference else {},
    )


def _failure(offer: Offer | None, reason: Refused | Unavailable) -> Outcome:
    return Outcome(
        success=False,
        network=offer.network if offer else "",
        reference=reason.reference,
        error_code=str(reason.code),
        error_message=reason.detail,
    )
