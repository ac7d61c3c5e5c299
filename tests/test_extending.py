"""The examples of docs/extending.md do what they say."""

from __future__ import annotations

import re
import sys
import types
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.template import Context, Template
from django.test import Client

from paywall import ledger, signals
from paywall.models import Payment, Receipt, Refund
from paywall.settlement import refunds
from paywall.testing import challenge_of
from tests.helpers import BLOCK, claim
from tests.test_docs import ROOT

pytestmark = pytest.mark.django_db

PERSON = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
TEXT = (ROOT / "docs/extending.md").read_text()


def example(name: str) -> Any:
    """The module that the docs have under that name."""
    (code,) = re.findall(rf"```python\n(# {re.escape(name)}\n.*?)```", TEXT, re.DOTALL)
    module = types.ModuleType(f"example_{name.rpartition('/')[2].removesuffix('.py')}")
    sys.modules[module.__name__] = module
    exec(code, module.__dict__)
    return module


@pytest.fixture
def selling(paywall_settings):
    module = example("site/selling.py")
    paywall_settings(ADAPTER=f"{module.__name__}.Selling")
    yield module
    del sys.modules[module.__name__]


def confirmed(item) -> Payment:
    payment, _ = claim(item)
    ledger.settling([payment], 0, "default")
    ledger.settled([payment], BLOCK.reference)
    ledger.delivered(payment)
    payment = Payment.objects.get(pk=payment.pk)  # a worker's own
    ledger.confirmed([([payment], BLOCK)])
    return payment


def test_the_adapter(selling, make_resource, buyer, facilitator, paywall_settings):
    item = make_resource()
    off_peak = {"X-Off-Peak": "yes"}
    assert challenge_of(Client().get("/item/", headers=off_peak))["accepts"][0]["amount"] == "5000"
    page = Client().get("/item/", headers=PERSON).content.decode()
    assert "Item: the first of three parts." in page
    client = Client()
    ada = User.objects.create(username="ada", first_name="Ada", last_name="Lovelace")
    client.force_login(ada)
    assert client.get("/item/", headers=buyer.pays(client.get("/item/"))).status_code == 200
    assert Receipt.objects.get().sold["fields"] == {"Buyer": "Ada Lovelace"}
    payment = Payment.objects.get()
    assert refunds.closes(payment, int(payment.captured) // 4)
    assert not refunds.closes(payment, int(payment.captured) // 2)
    item.slug = "betting-item"
    item.save()
    sold = selling.Selling().may_pay(
        types.SimpleNamespace(headers={"CF-IPCountry": "US"}), types.SimpleNamespace(slug=item.slug)
    )
    assert sold == "This is not sold in your country."


def test_the_signals(item, django_capture_on_commit_callbacks):
    names = ("settled", "confirmed", "failed", "lost", "refunded", "moved")
    before = {name: list(getattr(signals, f"payment_{name}").receivers) for name in names}
    module = example("site/receivers.py")
    try:
        with django_capture_on_commit_callbacks(execute=True):
            payment = confirmed(item)
            other, _ = claim(item, "other")
            ledger.failed(other, "abandoned")
            refund = Refund.objects.create(
                payment=payment, amount="1", reason="r", is_ours_to_send=True
            )
        signals.tell(signals.payment_refunded, payment, refund=refund)
        signals.tell(signals.payment_lost, payment)
    finally:
        for name in names:
            signal = getattr(signals, f"payment_{name}")
            signal.receivers = before[name]
            signal.sender_receivers_cache.clear()
    price = Decimal("0.01").normalize()
    assert f"item was paid: {price} USD" in module.told
    assert {"receipt 1", "failed: abandoned", "refunded: 1", f"lost: {BLOCK.reference}"} <= {
        *module.told
    }
    assert {one for one in module.told if one in Payment.State.values} == {
        *("settled", "confirmed", "failed"),
    }


def test_the_tags(make_resource, rf):
    make_resource(access="forever")
    (source,) = re.findall(r"```html\n(\{% load paywall %\}.*?)```", TEXT, re.DOTALL)
    source = source.replace("paywalled article", 'paywalled "item"')
    response = Client().get("/whole/")  # any request that has been through the middleware
    request = response.wsgi_request
    told = Template(source).render(Context({"request": request, "article": {"body": "SECRET"}}))
    assert "SECRET" not in told
    assert "paywall-" in told
