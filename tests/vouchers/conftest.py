from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from paywall.models import Account, Price, Resource
from tests.vouchers import issuer as issuers
from tests.vouchers.way import USED

ADDED = {
    "RAILS": ["tests.vouchers.rail.VoucherRail"],
    "PROTOCOLS": ["tests.vouchers.protocol.VoucherProtocol"],
    "WAYS_IN": ["tests.vouchers.way.LibraryCards"],
}


@pytest.fixture
def issuer(paywall_settings):
    paywall_settings(**ADDED)
    USED.clear()
    with issuers.issuer() as double:
        yield double


@pytest.fixture
def till(db, issuer) -> Account:
    """Where vouchers are taken: cents, in dollars."""
    account = Account(
        rail="voucher",
        network="vouchers:test",
        symbol="cents",
        decimals=2,
        terms={"issuer": issuer.url, "shop": "ours"},
    )
    account.save()
    return account


@pytest.fixture
def item(till) -> Resource:
    """For ten cents, and nothing but vouchers are taken."""
    resource = Resource.objects.create(slug="item", title="Item")
    Price.objects.create(resource=resource, amount=Decimal("0.10"))
    return resource


def pay(value: int = 10, client: Any = None, path: str = "/item/", **more: Any) -> Any:
    headers = {"Authorization": f"Voucher {issuers.voucher(value, **more)}"}
    return (client or Client()).get(path, headers=headers)
