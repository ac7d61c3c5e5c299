"""What tests of several rooms share."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client
from django.utils import timezone

from paywall import ledger, offers
from paywall.models import Payment
from paywall.vocabulary import Authorization, Paid
from tests.doubles import TX

BLOCK = Paid(TX, 7, "0x" + "bb" * 32, final=True)


class Caller:
    """The same tests speak to sync and async views."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, path: str = "/item/", method: str = "get", **kwargs: Any) -> Any:
        if self.kind == "async":
            path = path.replace("/item/", "/async-item/").replace("/raising/", "/async-raising/")
            return async_to_sync(getattr(AsyncClient(), method))(path, **kwargs)
        return getattr(Client(), method)(path, **kwargs)


def code(response: Any) -> str:
    return str(json.loads(response.content)["code"])


def let_lapse() -> None:
    """Whoever held a payment is gone, and has been for a while."""
    Payment.objects.update(held_until=timezone.now(), due_at=timezone.now())


def claim(item, identity="one", hold=60.0):
    sale = offers.load(item.slug)
    authorization = Authorization(
        identity=identity,
        payer="0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc",
        expires_at=datetime(2030, 1, 1, tzinfo=UTC),
        payload={"signature": "0x01", "authorization": {}},
        network="eip155:84532",
    )
    purpose = ledger.Purpose(item.pk, "GET", "http://testserver/item/")
    return ledger.claim(authorization, sale.offers[0], purpose, protocol="x402/2", hold=hold)


class Died(BaseException):
    """As SIGKILL would: nothing that catches errors catches it."""


def dies(*args: Any, **kwargs: Any) -> Any:
    raise Died
