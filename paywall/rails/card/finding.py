"""What Stripe shows of a payment: its PaymentIntent, read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paywall.effects import query
from paywall.rails.base import Unreachable
from paywall.vocabulary import Undecided, Unspent

from . import api, orders

if TYPE_CHECKING:
    from paywall.effects import Steps
    from paywall.vocabulary import Charge, Clue, Finding


def find(charge: Charge, clue: Clue) -> Steps[Finding]:
    """Of a payment that an order began."""
    try:
        found = yield from query(intent, charge.identity.removeprefix("stripe:"))
    except Unreachable as error:
        return Undecided(str(error))
    except api.NotTaken as error:
        return Undecided(f"Stripe does not know it: {error.code}")
    return shown(found)


def shown(found: dict[str, Any]) -> Finding:
    """What a PaymentIntent, as `intent` reads it, says of its payment."""
    if found["status"] == "succeeded":
        return orders.proof(found)
    if found["status"] in orders.NEVER:
        return Unspent(never=True)
    return Undecided(f"it is {found['status']}")


EXPAND = "latest_charge.balance_transaction"


def intent(id_: str) -> dict[str, Any]:
    """A PaymentIntent as Stripe has it now. Raises `Unreachable`, `api.NotTaken`."""
    found = api.ask(lambda stripe: stripe.v1.payment_intents.retrieve(id_, {"expand": [EXPAND]}))
    return api.plain(found)
