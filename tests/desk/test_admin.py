"""The owner's desk."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from paywall import ledger
from paywall.ledger import gifts
from paywall.models import (
    Account,
    Audience,
    Carriage,
    Cursor,
    FacilitatorHealth,
    Gift,
    Meter,
    Payment,
    Price,
    Receipt,
    Resource,
    Transaction,
    Wallet,
)
from paywall.models.payments import State
from paywall.rails.evm.tokens import TOKENS
from tests.conftest import PAY_TO
from tests.doubles import Answer
from tests.helpers import BLOCK, claim

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> Client:
    User.objects.create_superuser("owner", password="x")
    client = Client()
    client.login(username="owner", password="x")
    return client


def errors(response: Any) -> str:
    form = response.context["adminform"].form
    inline = "".join(
        str(f.errors) for fs in response.context["inline_admin_formsets"] for f in fs.formset.forms
    )
    return str(form.errors) + inline


def price_rows(*rows: dict[str, Any], initial: int = 0) -> dict[str, Any]:
    data: dict[str, Any] = {"prices-TOTAL_FORMS": len(rows), "prices-INITIAL_FORMS": initial}
    for number, row in enumerate(rows):
        data |= {f"prices-{number}-{key}": value for key, value in row.items()}
    return data


def now_fields(number: int) -> dict[str, str]:
    now = timezone.now()
    return {
        f"prices-{number}-valid_from_0": now.strftime("%Y-%m-%d"),
        f"prices-{number}-valid_from_1": now.strftime("%H:%M:%S"),
    }


RESOURCE = {
    "title": "Forecast",
    "slug": "forecast",
    "description": "",
    "mime_type": "application/json",
    "policy": "after",
    "access": "request",
    "pass_seconds": "",
    "active": "on",
}


@pytest.mark.parametrize("model", ["resource", "account", "payment", "receipt", "accesspass"])
def test_every_list_opens(owner, item, model):
    payment, _ = claim(item)
    ledger.settling([payment], 1, "default")
    ledger.settled([payment], BLOCK.reference)
    assert owner.get(f"/admin/paywall/{model}/", follow=True).status_code == 200
    assert owner.get(f"/admin/paywall/{model}/?q=0x9965").status_code in (200, 302)


def test_a_resource_is_made_with_its_price(owner, account):
    Resource.objects.filter(slug="forecast").delete()
    data = RESOURCE | price_rows({"amount": "0.01", "currency": "USD"}) | now_fields(0)
    response = owner.post("/admin/paywall/resource/add/", data)
    assert response.status_code == 302, errors(response)
    resource = Resource.objects.get(slug="forecast")
    assert resource.current_price().amount == Decimal("0.01")
    page = owner.get("/admin/paywall/resource/").content.decode()
    assert "0.01 USD" in page


def test_a_price_is_superseded_in_the_admin_not_edited(owner, item):
    page = owner.get(f"/admin/paywall/resource/{item.pk}/change/").content.decode()
    assert 'name="prices-0-amount"' not in page  # history is text
    price = f"/admin/paywall/resource/{item.pk}/price/"
    assert f'href="{price}" data-dialog' in page
    old = item.prices.get()
    assert owner.post(price, {"amount": "0.05", "currency": "USD"}).status_code == 302
    assert item.prices.count() == 2
    old.refresh_from_db()
    assert old.amount == Decimal("0.01")
    page = owner.get(f"/admin/paywall/resource/{item.pk}/change/").content.decode()
    rows = re.findall(r"<tr><td>(.*?)</td><td>everyone</td><td>.*?</td><td>(.*?)</td></tr>", page)
    assert rows == [("0.05 USD", "now"), ("0.01 USD", "replaced")]


def test_a_price_that_nobody_could_pay_is_refused(owner, item):
    price = f"/admin/paywall/resource/{item.pk}/price/"
    page = owner.post(price, {"amount": "0.05", "currency": "EUR"}).content.decode()
    assert "no enabled account in EUR" in page


def test_a_pass_without_its_duration_is_refused(owner, item):
    data = RESOURCE | {"title": "Item", "slug": "item", "access": "period"} | price_rows()
    response = owner.post(f"/admin/paywall/resource/{item.pk}/change/", data)
    assert "needs its duration" in errors(response)


def test_the_list_of_resources_costs_the_same_however_many(
    owner, make_resource, django_assert_max_num_queries
):
    for number in range(30):
        make_resource(f"r{number}")
    with django_assert_max_num_queries(11):
        owner.get("/admin/paywall/resource/")


def test_an_account_by_preset_needs_only_the_address(owner):
    data = {"preset": "usdc-base", "pay_to": PAY_TO, "order": "0", "enabled": "on"}
    response = owner.post("/admin/paywall/account/add/", data)
    assert response.status_code == 302, errors(response)
    account = Account.objects.get()
    assert account.terms["asset"] == TOKENS["usdc-base"].asset
    assert (account.currency, account.terms["confirmations"], account.terms["eip712_name"]) == (
        "USD",
        12,
        "USD Coin",
    )


def test_an_account_to_a_mistyped_address_is_refused(owner):
    data = {"preset": "usdc-base", "pay_to": PAY_TO.replace("C8", "c8"), "order": "0"}
    assert "mistyped" in errors(owner.post("/admin/paywall/account/add/", data))


def test_an_account_by_hand(owner):
    data = {
        "preset": "",
        "pay_to": PAY_TO.lower(),
        "network": "eip155:10",
        "asset": TOKENS["usdc-base"].asset.lower(),
        "symbol": "X",
        "decimals": "18",
        "eip712_name": "X",
        "eip712_version": "1",
        "currency": "USD",
        "confirmations": "5",
        "order": "0",
        "enabled": "on",
    }
    response = owner.post("/admin/paywall/account/add/", data)
    assert response.status_code == 302, errors(response)
    assert Account.objects.get().recipient == PAY_TO


def test_what_buyers_sign_cannot_be_changed(owner, account):
    url = f"/admin/paywall/account/{account.pk}/change/"
    page = owner.get(url).content.decode()
    assert 'name="pay_to"' not in page
    data = {"symbol": "USDC", "confirmations": "3", "order": "0", "pay_to": "0x" + "11" * 20}
    assert owner.post(url, data).status_code == 302
    account = Account.objects.get()
    assert (account.recipient, account.terms["confirmations"], account.enabled) == (
        PAY_TO,
        3,
        False,
    )
    assert account.disabled_at is not None


def test_payments_are_read_only(owner, item):
    payment, _ = claim(item)
    ledger.settling([payment], 1, "default")
    ledger.settled([payment], BLOCK.reference)
    url = f"/admin/paywall/payment/{payment.pk}/"
    page = owner.get(f"{url}change/").content.decode()
    assert "settling" in page
    assert "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc" in page
    assert 'type="submit"' not in page.split('id="content-main"')[1].split("logout")[0]
    assert owner.post(f"{url}change/", {"state": "confirmed"}).status_code == 403
    assert owner.post(f"{url}delete/").status_code == 403
    assert owner.get("/admin/paywall/payment/add/").status_code == 403


def test_signatures_are_shown_nowhere(owner, item):
    payment, _ = claim(item)
    Payment.objects.update(payload={"signature": "0x5ec4e7"})
    for url in ("", f"{payment.pk}/change/"):
        assert b"5ec4e7" not in owner.get(f"/admin/paywall/payment/{url}").content


def test_the_owner_finds_what_needs_a_look(owner, item):
    lost, _ = claim(item, "lost")
    for move in (
        lambda: ledger.settling([lost], 1, "default"),
        lambda: ledger.settled([lost], BLOCK.reference),
        lambda: ledger.lost(lost, "nothing_moved"),
    ):
        move()
    fine, _ = claim(item, "fine")
    owed, _ = claim(item, "owed")
    ledger.settling([owed], 1, "default")
    ledger.settled([owed], BLOCK.reference)

    def listed(query: str) -> set[int]:
        response = owner.get(f"/admin/paywall/payment/?{query}")
        return {payment.pk for payment in response.context["cl"].result_list}

    assert listed("attention=needed") == {lost.pk}
    assert listed("attention=owed") == {owed.pk}
    assert listed(f"state__exact={State.CLAIMED}") == {fine.pk}


def test_the_owner_may_have_payments_looked_at(owner, item, facilitator):
    payment, _ = claim(item)
    ledger.settling([payment], 1, "default")
    final, _ = claim(item, "final")
    ledger.failed(final, "some_code")
    facilitator.settle = Answer(
        body={"success": True, "transaction": BLOCK.reference, "network": "eip155:84532"}
    )
    data = {"action": "look_again", "_selected_action": [payment.pk, final.pk]}
    ledger.let_go(payment, due_in=3600)
    response = owner.post("/admin/paywall/payment/", data, follow=True)
    assert "1 settled" in response.content.decode()
    payment.refresh_from_db()
    assert payment.state == State.SETTLED
    response = owner.post("/admin/paywall/payment/", data, follow=True)
    assert "1 unchanged" in response.content.decode()
    assert len(facilitator.asked("/settle")) == 1


def test_receipts_are_read_only_and_found(owner, item):
    payment, _ = claim(item)
    ledger.settling([payment], 1, "default")
    ledger.settled([payment], BLOCK.reference)
    ledger.confirmed([([payment], BLOCK)])
    receipt = Receipt.objects.get()
    page = owner.get(f"/admin/paywall/receipt/{receipt.pk}/change/").content.decode()
    assert f"/paywall/receipts/{receipt.public_id}/" in page
    for query in (BLOCK.reference, payment.payer, "1"):
        response = owner.get(f"/admin/paywall/receipt/?q={query}", follow=True)
        assert [found for found, _link in response.context["rows"]] == [receipt], query
    assert owner.post(f"/admin/paywall/receipt/{receipt.pk}/delete/").status_code == 403


def test_prices_have_no_page_of_their_own(owner):
    assert owner.get("/admin/paywall/price/").status_code == 404
    assert Price.objects.count() >= 0


def test_what_the_site_sends_and_reads_is_shown(owner, account):
    """Wallets, transactions, cursors and facilitators' health: to be read, never written."""
    wallet = Wallet.objects.create(
        network=account.network, address=account.terms["pay_to"], balance=str(10**15)
    )
    transaction = Transaction.objects.create(
        wallet=wallet,
        nonce=3,
        to=account.terms["asset"],
        data="0xfeed",
        gas=1,
        max_fee=1,
        tip=1,
        hash="0xab",
    )
    Carriage.objects.create(transaction=transaction, identity="one")
    Cursor.objects.create(
        network=account.network,
        asset=account.terms["asset"],
        depth="12",
        block_number=7,
        block_hash="0x1",
        block_time=timezone.now(),
    )
    FacilitatorHealth.objects.create(name="spare", failures=3, last_trouble="no answer")
    for model, shown in (
        ("wallet", "0.001000"),
        ("transaction", "signed"),
        ("cursor", "12"),
        ("facilitatorhealth", "no answer"),
    ):
        page = owner.get(f"/admin/paywall/{model}/")
        assert page.status_code == 200
        assert shown in page.content.decode()
        assert owner.get(f"/admin/paywall/{model}/add/").status_code == 403
    page = owner.get(f"/admin/paywall/transaction/{transaction.pk}/change/")
    assert page.status_code == 200
    assert "0xfeed" not in page.content.decode()


def test_staff_give_a_page_away(owner, make_resource):
    """A link with its number of readers and its end; what was given stays as it was."""
    resource = make_resource(access="forever")
    data = {
        "resource": resource.pk,
        "url": "/item/",
        "uses": "3",
        "expires_at_0": "2035-01-01",
        "expires_at_1": "12:00",
    }
    response = owner.post("/admin/paywall/gift/add/", data)
    assert response.status_code == 302, errors(response)
    gift = Gift.objects.get()
    assert (gift.url, gift.uses, gift.by.username) == ("http://testserver/item/", 3, "owner")
    page = owner.get(f"/admin/paywall/gift/{gift.pk}/change/").content.decode()
    assert escape(gifts.link(gift)) in page
    reader = Client(headers={"Accept": "text/html"})
    assert reader.get(gifts.link(gift)).status_code == 200
    chosen = {"action": "revoke", "_selected_action": [gift.pk]}
    owner.post("/admin/paywall/gift/", chosen)
    assert reader.get("/item/").status_code == 402


def test_resources_are_put_under_a_metered_month(owner, make_resource):
    meter = Meter.objects.create(name="Articles", uses=3)
    chosen = [make_resource(slug).pk for slug in ("one", "two")]
    form = {"action": "set_meter", "_selected_action": chosen}
    page = owner.post("/admin/paywall/resource/", form).content.decode()
    assert "2 resources are chosen" in page
    owner.post("/admin/paywall/resource/", {**form, "meter": meter.pk})
    assert Resource.objects.filter(meter=meter).count() == 2
    owner.post("/admin/paywall/resource/", {**form, "meter": ""})
    assert Resource.objects.filter(meter=meter).count() == 0


def test_what_was_sold_is_deactivated_not_deleted(owner, item, make_resource):
    claim(item)
    unsold = make_resource("unsold")
    for resource, is_offered in ((item, False), (unsold, True)):
        page = owner.get(f"/admin/paywall/resource/{resource.pk}/change/").content.decode()
        assert ('class="deletelink"' in page) is is_offered
    assert owner.post(f"/admin/paywall/resource/{item.pk}/delete/").status_code == 403
    assert owner.post(f"/admin/paywall/resource/{unsold.pk}/delete/", {"post": "yes"}).url
    assert not Resource.objects.filter(slug="unsold").exists()
    assert "delete_selected" not in owner.get("/admin/paywall/resource/").content.decode()


def test_an_audience_with_a_price_is_not_deleted(owner, item):
    audience = Audience.objects.create(name="Friends", kind="signed_in")
    url = f"/admin/paywall/audience/{audience.pk}/change/"
    assert 'class="deletelink"' in owner.get(url).content.decode()
    Price.objects.create(resource=item, amount=Decimal("0.005"), audience=audience)
    assert 'class="deletelink"' not in owner.get(url).content.decode()


def test_an_account_that_was_paid_to_is_not_deleted(owner, item, account):
    url = f"/admin/paywall/account/{account.pk}/change/"
    assert 'class="deletelink"' in owner.get(url).content.decode()
    claim(item)
    assert 'class="deletelink"' not in owner.get(url).content.decode()
