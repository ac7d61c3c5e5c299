"""Settling a claimed payment, resolving an unknown outcome, confirming: as steps."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from django.utils import timezone

from paywall import conf, crashpoints, durable, ledger, tracing
from paywall.catalog import offers
from paywall.effects import query
from paywall.exceptions import Code, LedgerUnavailable, StaleMove, Unavailable
from paywall.ledger import usage
from paywall.models.payments import State
from paywall.rails import registry
from paywall.rails.base import Explains, Finds
from paywall.settlement import facilitators
from paywall.settlement.facilitators import health
from paywall.vocabulary import (
    Charge,
    Clue,
    Finding,
    Paid,
    Rejected,
    Settled,
    Settlement,
    Spent,
    Undecided,
    Unknown,
    Unspent,
)

if TYPE_CHECKING:
    from paywall.catalog.offers import ForSale
    from paywall.effects import Steps
    from paywall.models import Payment

log = logging.getLogger(__name__)


class Then(Protocol):
    """What the ledger shall write in the same transaction in which a payment becomes settled."""

    @property
    def sale(self) -> ForSale:
        """What was sold."""
        ...

    def __call__(self, payment: Payment) -> None: ...


TRANSACTION_FAILED = "transaction_failed"
"""A transaction was sent, and reverted: that is the payer's doing, not the facilitator's."""

PATIENCE = 5
"""Seconds for which a settle call is simply waited for."""

LONGEST_PAUSE = 3600
"""Seconds between two looks at a payment that will not resolve."""


REOPENED_AFTER = timedelta(seconds=30)
"""When nothing is to be seen of a settled payment for so long, it is asked for once more."""


@tracing.of_payment("paywall.settle")
def settle(payment: Payment, then: Then | None = None) -> Steps[Settlement]:
    """Settle a payment that was claimed and is held by the caller.

    `then` is called with it in the transaction in which it becomes settled. Returns `Settled`, with
    its reference; `Rejected`, where certainly nothing was taken (`ours`: it is not the buyer's
    doing); or `Unknown`: then it stays `settling`, and nobody may be asked to pay again. Raises
    `StaleMove` if somebody else took it over.
    """
    if payment.is_by_use:
        yield from query(usage.measured, payment, int(payment.used or 0))
        if _takes_nothing(payment):
            yield from query(ledger.settling, [payment], settle_hold(), "")
            return (yield from _conclude(payment, _NOTHING, then))
    try:
        candidates = yield from facilitators.for_offer(payment.taken_offer)
    except Unavailable as error:
        if payment.on_credit:
            return Unknown(error.code)
        yield from query(ledger.failed, payment, error.code, "no facilitator is configured")
        return Rejected(error.code, ours=True)
    yield from query(ledger.settling, [payment], settle_hold(), candidates[0].name)
    try:
        return (yield from _settle(payment, candidates, then))
    except LedgerUnavailable:
        log.exception("payment=%s: what became of it could not be written", payment.pk)
        return Unknown("it could not be written down", payment.reference)


def _settle(
    payment: Payment, candidates: Sequence[facilitators.Facilitator], then: Then | None
) -> Steps[Settlement]:
    """Ask the first; the next one only where the one before certainly sent nothing."""
    answer: Settlement = Unknown("nobody was asked")
    for facilitator in candidates:
        if facilitator.name != payment.facilitator:
            yield from query(ledger.asks_another, payment, facilitator.name, settle_hold())
        answer = yield from _ask(payment, facilitator)
        if not (isinstance(answer, Rejected) and answer.ours):
            break
    if isinstance(answer, Rejected) and answer.ours and payment.on_credit:
        # The content is out: our own trouble must not let the payment go. It is asked again.
        answer = Unknown(f"{answer.code}: {answer.detail}")
    if isinstance(answer, Unknown):
        answer = yield from _find_out(payment, facilitator, answer)
    return (yield from _conclude(payment, answer, then))


def _ask(payment: Payment, facilitator: facilitators.Facilitator) -> Steps[Settlement]:
    """Ask one facilitator, once, and keep account of how well it is."""
    crashpoints.reach("settle: about to ask")
    answer = yield from facilitator.settle(charge(payment))
    crashpoints.reach("settle: answered")
    if isinstance(answer, Rejected) and answer.ours:
        log.warning("payment=%s not taken by %s: %s", payment.pk, facilitator.name, answer.detail)
        yield from health.failed(facilitator.name, answer.detail)
    elif isinstance(answer, Unknown) and answer.reason != TRANSACTION_FAILED:
        yield from health.failed(facilitator.name, answer.reason)
    else:
        yield from health.worked(facilitator.name)
    return answer


def _find_out(
    payment: Payment, facilitator: facilitators.Facilitator, answer: Unknown
) -> Steps[Settlement]:
    """Look once, while the buyer still waits, before the outcome is left unknown."""
    yield from query(
        ledger.note, payment, "unknown", reason=answer.reason, reference=answer.reference
    )
    log.warning("payment=%s outcome unknown: %s", payment.pk, answer.reason)
    if _finder(payment) is not None:
        return (yield from _by_evidence(payment, answer))
    explains = registry.able(payment.rail, Explains)
    if answer.reference and explains is not None:
        return (yield from explains.explain(charge(payment), facilitator, answer))
    return answer


@tracing.of_payment("paywall.resolve")
def resolve(payment: Payment, *, buyer_waits: bool, then: Then | None = None) -> Steps[Settlement]:
    """Find out about a payment in `settling` that the caller has taken up.

    By the rail's own evidence where it can be asked. Where not, or if nobody has used the claim yet
    and the buyer waits for what it buys or had it on credit, the same facilitator is asked again
    with the same payload: a claim moves money once at most. But what it answers to a second asking
    can only prove success: a refusal may be the first asking's doing.

    Returns what `settle` does; `then` is as there. Raises `StaleMove`.
    """
    if _takes_nothing(payment):
        return (yield from _conclude(payment, _NOTHING, then))
    finder = _finder(payment)
    known = Unknown("not resolved yet", payment.reference)
    outcome = (yield from _by_evidence(payment, known)) if finder is not None else known
    unspent = isinstance(outcome, Unknown) and outcome.reason == _UNSPENT
    is_out = payment.on_credit or payment.delivered_at is not None
    if finder is None or (unspent and (buyer_waits or is_out)):
        outcome = yield from _ask_again(payment)
    return (yield from _conclude(payment, outcome, then))


def overtake(payment: Payment) -> Steps[Payment | None]:
    """Take a payment in `settling` from whoever holds it, if its rail shows that it is paid.

    Its holder may have died; if it lives, its own move comes too late and gives way. None: the
    holder is to be waited for. It is, in any case, while its call is young.
    """
    still_held = (payment.held_until - timezone.now()).total_seconds()
    if _finder(payment) is None or settle_hold() - still_held < PATIENCE:
        return None
    if isinstance((yield from _look(payment)), Paid):
        return (yield from query(ledger.take_up, payment, settle_hold(), though_held=True))
    return None


def _ask_again(payment: Payment) -> Steps[Settlement]:
    """Put the same payload before the same facilitator once more."""
    try:
        facilitator = facilitators.get(payment.rail, payment.facilitator)
    except Unavailable as error:
        return Unknown(error.code, payment.reference)
    answer = yield from _ask(payment, facilitator)
    if isinstance(answer, Settled):
        return answer
    unknown = (
        answer
        if isinstance(answer, Unknown)
        else Unknown(f"refused at a second asking: {answer.code}")
    )
    yield from query(
        ledger.note,
        payment,
        "asked again",
        reason=unknown.reason,
        reference=unknown.reference,
    )
    log.warning("payment=%s still unknown after asking again: %s", payment.pk, unknown.reason)
    return Unknown(unknown.reason, payment.reference)


@tracing.of_payment("paywall.confirm")
def confirm(payment: Payment) -> Steps[Finding]:
    """Look for the evidence of a settled or confirmed payment; move it if the answer is final, or
    back if what had been shown is not to be seen any more. Returns what was found; never raises."""
    finding = yield from _look(payment)
    try:
        yield from query(_act_on, payment, finding)
    except StaleMove:
        return Undecided("somebody else moved it")
    return finding


def _act_on(payment: Payment, finding: Finding) -> None:
    was_confirmed = payment.state == State.CONFIRMED
    match finding:
        case Paid(final=True) if was_confirmed:
            ledger.proven_anew(payment, finding)
        case Paid(final=True):
            ledger.confirmed([([payment], finding)])
        case Paid() if was_confirmed:
            ledger.taken_back(payment, State.SETTLED, "what proves it is not final any more")
        case Spent(final=True):
            ledger.lost(payment, Code.SPENT_ELSEWHERE, finding.reason)
        case Unspent(never=True):
            ledger.lost(payment, Code.NOTHING_MOVED, "it expired unused")
        case Unspent() if was_confirmed or _is_missing(payment):
            ledger.taken_back(payment, State.SETTLING, "nothing is to be seen of it")


def _is_missing(payment: Payment) -> bool:
    settled_at = payment.settled_at
    return settled_at is not None and timezone.now() - settled_at > REOPENED_AFTER


_NOTHING = Settled("", amount=0)
"""Of what is charged by use and was not used, nothing is sent."""


def _takes_nothing(payment: Payment) -> bool:
    return payment.used == "0"


def pause(attempts: int) -> float:
    """Seconds until a payment that did not resolve is looked at again."""
    return float(min(LONGEST_PAUSE, 2 ** min(attempts, 12)))


_UNSPENT = "nothing has moved yet"


def _by_evidence(payment: Payment, known: Unknown) -> Steps[Settlement]:
    """What the rail's own evidence makes of an unknown outcome."""
    match (yield from _look(payment)):
        case Paid(reference=reference, position=position):
            return Settled(reference, position)
        case Unspent(never=True):
            return Rejected(Code.NEVER_SETTLED)
        case Unspent(reverted=True) if payment.delivered_at is None:
            return Rejected(Code.REVERTED)
        case Unspent():
            return Unknown(_UNSPENT, known.reference)
        case Spent(final=True) as spent:
            return Rejected(Code.SPENT_ELSEWHERE, spent.reason)
        case Spent() as spent:
            return Unknown(spent.reason, known.reference)
        case Undecided(reason=reason):
            return Unknown(f"{known.reason}; {reason}", known.reference)


def _finder(payment: Payment) -> Finds | None:
    """The payment's rail, if it can be asked what became of it."""
    rail = registry.able(payment.rail, Finds)
    return rail if rail is not None and rail.can_find(payment.network) else None


def _look(payment: Payment) -> Steps[Finding]:
    """What the rail's own evidence shows of a payment."""
    finder = _finder(payment)
    if finder is None:
        return Undecided("nobody can be asked on this network")
    account = yield from query(ledger.account, payment)
    clue = Clue(payment.created_at, payment.reference, account.terms)
    return (yield from finder.find(charge(payment), clue))


@durable.write
def _settled(payment: Payment, outcome: Settled, then: Then | None) -> None:
    sale = then.sale if then is not None else None
    ledger.settled([payment], outcome.reference, outcome.amount, sale)
    if outcome.position is not None:
        ledger.seen_at({payment.pk: outcome.position})
    if then is not None:
        then(payment)
    if _takes_nothing(payment):
        ledger.confirmed([([payment], Paid("", final=True))])


def _conclude(payment: Payment, outcome: Settlement, then: Then | None) -> Steps[Settlement]:
    """Write down what is certain; let go of what is not."""
    match outcome:
        case Settled():
            yield from query(_settled, payment, outcome, then)
            crashpoints.reach("settle: written")
        case Rejected():
            yield from query(ledger.failed, payment, outcome.code, outcome.detail)
        case Unknown():
            assert payment.state == State.SETTLING
            # A buyer who comes back when told to finds it free; one who hammers does not.
            yield from query(
                ledger.let_go,
                payment,
                busy_for=conf.get().retry_after / 2,
                due_in=pause(payment.attempts),
            )
    return outcome


def charge(payment: Payment) -> Charge:
    """What a facilitator, or who looks for it, is given of a payment."""
    return Charge(
        offer=payment.taken_offer,
        payload=payment.payload or {},
        payer=payment.payer or "",
        url=payment.url,
        identity=payment.identity,
        interface=offers.interface_of(payment.resource_id),
        amount=None if payment.used is None else int(payment.used),
    )


def settle_hold() -> float:
    """Nobody else touches a payment while its settle call can still be answered."""
    settings = conf.get()
    return settings.facilitator_connect_timeout + settings.facilitator_read_timeout + 5
