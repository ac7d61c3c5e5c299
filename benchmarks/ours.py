"""Our side of the benchmarks: a site of the demo's on PostgreSQL, in this process."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from site_demo.chain.local import NETWORK, USDC, LocalChain, account

SELLER = account(1).address


def set_up(chain: LocalChain, database: str) -> None:
    """Django with the demo's settings, migrated and seeded; the site settles for itself."""
    os.environ.update(
        DJANGO_SETTINGS_MODULE="site_demo.settings",
        SECRET_KEY="only for the benchmark",
        DATABASE_URL=database,
        PAYWALL_FACILITATOR_URL="",
        PAYWALL_GAS_KEY=account(0).key.hex(),
        PAYWALL_PAY_TO=SELLER,
        PAYWALL_RPC_URL=chain.url,
        PAYWALL_LOG_LEVEL="WARNING",
    )
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    with Path(os.devnull).open("w") as nowhere:
        call_command("seed_demo", stdout=nowhere)


def offer() -> dict[str, Any]:
    """What the ticker costs."""
    return {
        "scheme": "exact",
        "network": NETWORK,
        "asset": USDC,
        "amount": "1000",
        "payTo": SELLER,
        "maxTimeoutSeconds": 600,
        "extra": {"name": "USDC", "version": "2"},
    }


def payloads(wallet: Any, number: int) -> list[dict[str, Any]]:
    """Authorizations for the ticker, signed."""
    from paywall.testing import Buyer

    signer, found = Buyer(wallet), []
    for _ in range(number):
        authorization = signer.authorize(offer())
        signature = signer.sign(authorization, offer())
        found.append({"signature": signature, "authorization": authorization})
    return found


def on_credit(number: int) -> None:
    """Payments as the gate leaves them behind: claimed on credit, delivered, not settled."""
    from paywall import ledger
    from paywall.catalog import offers
    from paywall.models import Resource
    from paywall.rails.evm import schemes
    from paywall.vocabulary import Credential

    resource = Resource.objects.get(slug="ticker")
    sold = offers.load("ticker").offers[0]
    purpose = ledger.Purpose(resource.pk, "GET", "http://localhost/api/ticker/")
    for payload in payloads(account(2), number):
        credential = Credential("x402/2", "exact", NETWORK, payload)
        authorization = schemes.named("exact").read(credential, sold, time.time(), 5)
        payment, _ = ledger.claim(
            authorization, sold, purpose, protocol="x402/2", hold=60, ask_credit=True
        )
        ledger.delivered(payment)
        ledger.let_go(payment)


def headers(chain: LocalChain, path: str, number: int) -> list[str]:
    """So many payments for a path, as headers, by a new wallet that has enough."""
    from eth_account import Account

    from paywall.testing import Buyer
    from paywall.testing.buyer import encode

    wallet = Account.create()
    chain.mint(wallet.address, 10**12)
    offered = ask(path)
    buyer = Buyer(wallet)
    return [encode(buyer.payload(offered)) for _ in range(number)]


def ask(path: str, payment: str = "") -> Any:
    """One request through Django's handler, in this process: what it answers."""
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.test import RequestFactory

    sent = {"host": "localhost", **({"PAYMENT-SIGNATURE": payment} if payment else {})}
    environ = RequestFactory(headers=sent).get(path).environ
    said: list[Any] = []
    response = _handler(WSGIHandler)(environ, lambda *told: said.extend(told[:2]))
    body = b"".join(response)
    response.close()
    status = int(said[0][:3])
    assert status == (200 if payment else 402), body
    return HttpResponse(body, status=status, headers=dict(said[1]))


def done() -> None:
    """Nothing is written any more: the database goes."""
    from paywall.visitors import crawl_log

    crawl_log.forget()


_kept: list[Any] = []


def _handler(make: Any) -> Any:
    if not _kept:
        _kept.append(make())
    return _kept[0]
