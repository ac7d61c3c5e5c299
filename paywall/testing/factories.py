"""Rows for tests, as the desk and the ledger make them."""

from __future__ import annotations

import secrets
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from paywall import ledger
from paywall.catalog import offers
from paywall.models import Price, Resource
from paywall.models.payments import State
from paywall.rails import registry
from paywall.vocabulary import Claim, Paid

if TYPE_CHECKING:
    from paywall.models import Account, Payment

SELLER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
PAYER = "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc"
"""Of the public keys of every development chain."""

STATES = (State.CLAIMED, State.SETTLING, State.SETTLED, State.CONFIRMED, State.FAILED)
"""Those that `make_payment` can bring about."""


def make_account(coin: str = "usdc-base-sepolia", wallet: str = SELLER) -> Account:
    """An enabled account that is paid in a well-known coin. Raises `ValueError`."""
    from paywall.admin.accounts import filled_in  # rows of other kinds need no admin

    known = {one.key: one for one in registry.coins()}
    if coin not in known:
        raise ValueError(f"There is no coin {coin!r}.")
    form = filled_in(known[coin], wallet)
    if not form.is_valid():
        raise ValueError(form.errors.as_text())
    account: Account = form.save()
    return account


def make_resource(slug: str, price: str = "0.01", currency: str = "USD", **fields: Any) -> Resource:
    """Something that is for sale, with its price. `fields` are the Resource's."""
    resource = Resource.objects.create(slug=slug, **{"title": slug, **fields})
    Price.objects.create(resource=resource, amount=Decimal(price), currency=currency)
    return resource


def make_payment(
    resource: Resource, state: str = State.CONFIRMED, payer: str = PAYER, url: str = ""
) -> Payment:
    """A payment for the resource's first offer, moved to its state as the engine does: what is
    settled was delivered and has a receipt.

    Raises `ValueError` for another state, and what `offers.load` raises where nobody can pay it.
    """
    if state not in STATES:
        raise ValueError(f"make_payment makes {', '.join(STATES)}.")
    offer = offers.load(resource.pk).offers[0]
    claim = Claim(
        identity=f"test:{secrets.token_hex(16)}",
        amount=offer.amount,
        payer=payer,
        expires_at=timezone.now() + timedelta(minutes=1),
        payload={},
        network=offer.network,
    )
    purpose = ledger.Purpose(resource.pk, "GET", url or f"http://testserver/{resource.slug}/")
    payment, _ = ledger.claim(claim, offer, purpose, protocol="x402/2", hold=0.0)
    if state == State.CLAIMED:
        return payment
    ledger.settling([payment], 0.0, "default")
    if state == State.FAILED:
        ledger.failed(payment, "settlement_refused")
    elif state in (State.SETTLED, State.CONFIRMED):
        transaction = "0x" + secrets.token_hex(32)
        ledger.settled([payment], transaction)
        ledger.delivered(payment)
        if state == State.CONFIRMED:
            found = Paid(transaction, True, 1, {"block_hash": "0x" + secrets.token_hex(32)})
            ledger.confirmed([([payment], found)])
    payment.refresh_from_db()
    return payment
