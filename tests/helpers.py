"""What tests of several rooms share."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client
from django.utils import timezone
from eth_account.messages import encode_defunct
from x402.extensions import sign_in_with_x as siwx

from paywall import ledger
from paywall.catalog import offers
from paywall.findings import Grade
from paywall.models import Account, Payment
from paywall.rails.evm import evidence
from paywall.reports import doctor
from paywall.vocabulary import Claim
from tests.doubles import TX

BLOCK = evidence.proof(TX, 7, "0x" + "bb" * 32, final=True)


class Caller:
    """The same tests speak to sync and async views."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, path: str = "/item/", method: str = "get", **kwargs: Any) -> Any:
        if self.kind == "async":
            path = path.replace("/item/", "/async-item/").replace("/raising/", "/async-raising/")
            return async_to_sync(getattr(AsyncClient(), method))(path, **kwargs)
        return getattr(Client(), method)(path, **kwargs)


def found_by_doctor(grade: Grade) -> str:
    """What it has to say of that grade, a line each."""
    return "\n".join(f"{one.what} {one.todo}" for one in doctor.examine() if one.grade == grade)


def code(response: Any) -> str:
    return str(json.loads(response.content)["code"])


def set_terms(**changes: Any) -> None:
    """Change terms of every account."""
    for account in Account.objects.all():
        account.terms = {**account.terms, **changes}
        account.save()


def let_lapse() -> None:
    """Whoever held a payment is gone, and has been for a while."""
    Payment.objects.update(held_until=timezone.now(), due_at=timezone.now())


def claim(item, identity="one", hold=60.0):
    sale = offers.load(item.slug)
    made = Claim(
        identity=identity,
        amount=sale.offers[0].amount,
        payer="0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc",
        expires_at=datetime(2030, 1, 1, tzinfo=UTC),
        payload={"signature": "0x01", "authorization": {}},
        network="eip155:84532",
    )
    purpose = ledger.Purpose(item.pk, "GET", "http://testserver/item/")
    return ledger.claim(made, sale.offers[0], purpose, protocol="x402/2", hold=hold)


class Died(BaseException):
    """As SIGKILL would: nothing that catches errors catches it."""


def dies(*args: Any, **kwargs: Any) -> Any:
    raise Died


def proof(wallet: Any, uri: str = "http://testserver/item/", **changes: str) -> str:
    """What a wallet signs to show that it is itself."""
    from datetime import UTC, datetime

    info = {
        "domain": "testserver",
        "address": wallet.address,
        "uri": uri,
        "version": "1",
        "chainId": "eip155:84532",
        "type": "eip191",
        "nonce": secrets.token_hex(16),
        "issuedAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        **changes,
    }
    unsigned = siwx.SIWxPayload(**info, signature="0x")
    message = siwx.create_siwx_message(unsigned, info["address"])
    signature = wallet.sign_message(encode_defunct(text=message)).signature.hex()
    return siwx.encode_siwx_header(siwx.SIWxPayload(**info, signature=f"0x{signature}"))


def at_once(works: Iterable[Callable[[], Any]]) -> None:
    """Run them all, each in a thread of its own, and wait for them all."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
