"""What happened to a payment, and what to do about it, in sentences for its owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from paywall.exceptions import SENTENCES, Code
from paywall.models.payments import State
from paywall.money import of_token, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paywall.models import Payment


class Advice(NamedTuple):
    """About one payment."""

    what: str
    todo: str


_NOTHING = _("Nothing to do: no money moved, and nothing was delivered.")
_HAD_IT = _(
    "The buyer has had it. If that happens often, lower EXPOSURE_PER_PAYER, or choose the "
    "settlement “after” for this resource."
)
_LOST = _(
    "Look at the transaction: if the money is not there, the buyer was refunded by nobody and has "
    "had it for nothing; their pass is closed. If it is there, your node is wrong: run "
    "paywall_doctor, and then “Look again now” in the admin."
)
_DISPUTED = _("The bank has decided: answer within its time at Stripe, or let it be.")
_SETTLING = _(
    "Do not ask the buyer to pay again. The engine goes on looking; if it stays so for an hour, "
    "run paywall_doctor: a node or facilitator does not answer."
)
_OWED = _("Nothing to do: whoever paid can come back and collect it. Or refund it.")

_WHY: dict[str, Any] = {
    Code.SETTLEMENT_REFUSED: _("Who settles refused it."),
    Code.VIEW_FAILED: _("Your page failed, so it was not charged: see your site's log."),
    Code.NOTHING_DELIVERED: _("Your page sent the buyer elsewhere, so it was not charged."),
    Code.PAYER_REVERTED: _("A transaction for this wallet failed of late, so it was not tried."),
    Code.ABANDONED: _("The buyer hung up before it was sent."),
    Code.REVERTED: _("The transaction was rolled back on the chain: no money moved."),
    Code.NEVER_SETTLED: _("The buyer's authorization ran out unused."),
    Code.SPENT_ELSEWHERE: _("The buyer cancelled it, or used it for something else."),
    Code.NOTHING_MOVED: _("The transaction that was named moved no money to you."),
    Code.PAYMENT_FAILED: _("The payment failed."),
    Code.FACILITATOR_UNAVAILABLE: _("Nobody who settles could be reached."),
    Code.DISPUTE_LOST: _("The payer's bank took the money back."),
    Code.INSUFFICIENT_FUNDS: _("The buyer does not have that much."),
}


def why(code: str) -> str:
    """A code as a sentence; what is not ours stands as it came."""
    if code in _WHY:
        return str(_WHY[code])
    return SENTENCES[Code(code)] if code in set(Code) else code


def about(payment: Payment) -> Advice | None:
    """What is wrong with it, and what to do; None where all is well."""
    reason = why(payment.error_code) if payment.error_code else ""
    match payment.state:
        case State.LOST:
            disputed = payment.error_code == Code.DISPUTE_LOST
            return Advice(reason, str(_DISPUTED if disputed else _LOST))
        case State.FAILED:
            return Advice(reason, str(_NOTHING if payment.delivered_at is None else _HAD_IT))
        case State.SETTLING:
            return Advice(gettext("Nobody knows yet whether it was paid."), str(_SETTLING))
        case State.SETTLED | State.CONFIRMED if payment.delivered_at is None:
            return Advice(gettext("It was paid, and not collected."), str(_OWED))
    return None


def told(payment: Payment, data: Mapping[str, Any]) -> str:
    """What is known of one step of a payment's story."""
    return " ".join(filter(None, (_told(payment, name, data[name]) for name in data)))


def _told(payment: Payment, name: str, value: Any) -> str:
    match name:
        case "amount" if str(value).isdecimal():
            offer = payment.taken_offer
            return f"{of_token(int(value), offer.decimals, offer.symbol)}."
        case "error_code":
            return why(str(value))
        case "error_detail" | "text" | "why":
            return str(value)
        case "reference" | "tx":
            return gettext("Transaction %s.") % shortened(str(value))
        case "position":
            return gettext("In block %s.") % str(value)
        case "facilitator":
            return gettext("Asked: %s.") % str(value)
        case "on_credit":
            return gettext("On credit.") if value else ""
    return f"{name}: {value}"
