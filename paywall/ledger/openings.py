"""What a payment opens when it delivers, and what closes when its money is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paywall import durable
from paywall.ledger import balances, licenses
from paywall.ledger.passes import adopt_passes, grant_pass, restore_pass, revoke_pass
from paywall.models import Resource

if TYPE_CHECKING:
    from decimal import Decimal

    from paywall.models import Payment


@durable.write
def open_(payment: Payment, access: str, pass_seconds: int | None, holder: str) -> None:
    """A pass, or something on the balance, for who paid: its user, or the browser that `holder`
    names (the hash of its secret). What is bought by the request opens nothing that stays."""
    if access == Resource.Access.BALANCE:
        balances.top_up(payment, holder)
    elif access != Resource.Access.REQUEST:
        grant_pass(payment, pass_seconds, holder)


@durable.write
def close(payment: Payment) -> tuple[bool, Decimal]:
    """Its money is gone. Whether a pass closed; and what of a top-up was spent already."""
    licenses.revoke_of(payment)
    return revoke_pass(payment), balances.take_back(payment)


@durable.write
def reopen(payment: Payment, *, passes: bool) -> None:
    """Its money is there after all; its pass is open again if it was this that had closed it."""
    if passes:
        restore_pass(payment)
        licenses.restore_of(payment)
    balances.bring_back(payment)


@durable.write
def adopt(holder: str, user_id: Any) -> int:
    """What a browser bought, and has on its balance, is its user's from now on, wherever the user
    signs in; not what is another user's already. Returns how many passes that are."""
    balances.adopt(holder, user_id)
    return adopt_passes(holder, user_id)
