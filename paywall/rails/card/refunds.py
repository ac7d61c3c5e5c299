"""Money that goes back to cards, by Stripe: each refund once, however often it is asked for."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from paywall import crashpoints, durable
from paywall.effects import query
from paywall.models import Dispute, Refund
from paywall.rails.base import Seen, Unacceptable, Unreachable

from . import api

if TYPE_CHECKING:
    from collections.abc import Callable

    from paywall.effects import Steps
    from paywall.models import Payment

_REFERENCE = re.compile(r"(re|pyr)_\w{3,200}")

MARK = "paywall_refund"
"""Under which a refund's metadata at Stripe names ours."""


def check(payment: Payment, sent_in: str) -> str:
    """The reference in one spelling, of a refund that was made at Stripe. Raises `Unacceptable`."""
    sent_in = sent_in.strip()
    open_ones = Dispute.objects.using(durable.alias()).filter(
        payment=payment, state=Dispute.State.OPEN
    )
    if open_ones.exists():
        text = "Its payer disputes it at the bank: a refund now could send the money back twice."
        raise Unacceptable("payment", text)
    if sent_in and not _REFERENCE.fullmatch(sent_in):
        raise Unacceptable("sent_in", "A refund at Stripe is named re_ and more.")
    if not api.is_set_up():
        raise Unacceptable("payment", "PAYWALL['STRIPE'] has no key to refund with.")
    return sent_in


def send(refund: Refund, mark: Callable[[str], None]) -> Steps[None]:
    """Ask Stripe to send it. Raises `Unreachable`, and what `mark` raises."""
    # Before anything leaves: whoever asks after this looks first whether it is there.
    yield from query(mark, refund.reference)
    crashpoints.reach("refund: written")
    with contextlib.suppress(api.NotTaken):  # the next look is told so too
        yield from query(_create, refund)
    crashpoints.reach("refund: sent")


def look(refund: Refund) -> Steps[Seen]:
    """What Stripe says of it; one that is not there is asked for once more. Raises
    `Unreachable`."""
    return (yield from query(_look, refund))


def _look(refund: Refund) -> Seen:
    found = _found(refund)
    if found is None:
        if not refund.is_ours_to_send:
            return Seen(None, why="Stripe has no such refund of this payment", hopeless=True)
        try:
            found = _create(refund)
        except api.NotTaken as error:
            return Seen(False, why=f"Stripe refuses: {error.code} {error}")
    status, reference = found["status"], str(found["id"])
    if status == "succeeded":
        is_right = int(found["amount"]) == int(refund.amount)
        return Seen(is_right, reference, "" if is_right else "it is of another amount")
    if status in ("failed", "canceled"):
        return Seen(False, reference, f"it {status}: {found.get('failure_reason') or 'no reason'}")
    return Seen(None, reference)


def _found(refund: Refund) -> dict[str, Any] | None:
    """The refund among those of its payment: by its reference, or by what we wrote on it."""
    for other in of_payment(refund.payment):
        if refund.reference and other["id"] == refund.reference:
            return other
        if (other.get("metadata") or {}).get(MARK) == str(refund.pk):
            return other
    return None


def of_payment(payment: Payment) -> list[dict[str, Any]]:
    """All refunds that Stripe has of a payment. Raises `Unreachable`."""
    try:
        found = api.ask(
            lambda stripe: stripe.v1.refunds.list(
                {"payment_intent": payment.reference, "limit": 100}
            )
        )
    except api.NotTaken as error:
        raise Unreachable(f"{error.code} {error}") from error
    return [api.plain(refund) for refund in found.data]


def _create(refund: Refund) -> dict[str, Any]:
    """Raises `Unreachable`; or `api.NotTaken` where Stripe refuses."""
    payment = refund.payment
    made = api.ask(
        lambda stripe: stripe.v1.refunds.create(
            {
                "payment_intent": payment.reference,
                "amount": int(refund.amount),
                "metadata": {MARK: str(refund.pk)},
            },
            # A payment is Stripe's own: two sites that share an account never meet here.
            options={"idempotency_key": f"paywall-refund-{payment.reference}-{refund.pk}"},
        )
    )
    return api.plain(made)
