"""What people type and paste at the desk: a clear word, and nothing falls over."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from paywall.catalog import declarations, offers, pricing
from paywall.decorators import payment_required
from paywall.models import Payment, Price, Receipt, Resource, SalesDay
from paywall.reports import rollups
from paywall.testing import Buyer
from site_demo.magazine.models import Article

pytestmark = pytest.mark.django_db

LIST = "/admin/paywall/resource/"


@pytest.mark.parametrize("id_", ["%00", "a%00b", "%0A", "x" * 500, "%F0%9F%92%B8", "..%2F"])
def test_a_receipts_address_may_be_anything(db, id_):
    assert Client().get(f"/paywall/receipts/{id_}/").status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        *("until=9999-12-31", "since=0001-01-01", "since=9999-12-31&until=0001-01-01"),
        "before=0001-01-01T00:00:00%2B14:00_1",
        "before=9999-12-31T23:59:59-14:00_1",
        f"before=2026-01-01T00:00:00%2B00:00_{9**30}",
        *("q=%00", "least=1e400", "most=NaN", "resource=%00"),
    ],
)
def test_no_filter_breaks_the_list_of_receipts(owner, sold, query):
    sold("one")
    assert owner.get(f"/dashboard/receipts/?{query}").status_code == 200
    owner.post(f"/dashboard/exports/?{query}", {"kind": "receipts", "format": "csv"})


def test_a_title_of_several_lines_is_sent_again(owner, sold, mailoutbox):
    receipt = sold("one")
    Receipt.objects.update(sold={**receipt.sold, "title": "two\nlines\r\nBcc: eve@example.com"})
    url = f"/dashboard/receipts/{receipt.pk}/resend/"
    assert owner.post(url, {"resend-to": "a@example.com"}).status_code == 302
    (mail,) = mailoutbox
    assert mail.subject == "Your receipt: two lines Bcc: eve@example.com"
    assert mail.recipients() == ["a@example.com"]


def test_a_price_is_not_so_high_that_sums_overflow(owner, item):
    url = reverse("admin:paywall_resource_price", args=[item.pk])
    page = owner.post(url, {"amount": "123456789012", "currency": "USD"})
    assert page.status_code == 200
    with pytest.raises(ValidationError):
        pricing.set_price(item, Decimal(100_000_001), "USD", by=None)
    assert item.prices.count() == 1


def test_a_day_that_cannot_be_added_up_holds_up_no_other(item, sold, monkeypatch, caplog):
    sold("one")
    sold("two", created_at=timezone.now() - timedelta(days=1))
    real = rollups._add_up

    def breaks(day: Any) -> None:
        if day == timezone.now().date() - timedelta(days=1):
            raise OverflowError("too much")
        real(day)

    monkeypatch.setattr(rollups, "_add_up", breaks)
    rollups.roll_up()
    assert SalesDay.objects.get().sales == 1
    assert "cannot be added up" in caplog.text
    # The lease is given back, and what failed is tried again.
    monkeypatch.setattr(rollups, "_add_up", real)
    assert rollups.roll_up() > 0


@pytest.mark.slow
@pytest.mark.parametrize("action", ["set_price", "raise_price"])
def test_prices_of_more_rows_than_a_form_may_have_fields(owner, item, settings, action):
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 100
    now = timezone.now()
    rows = [Resource(slug=f"many-{n}", title=f"Many {n}") for n in range(120)]
    Resource.objects.bulk_create(rows)
    Price.objects.bulk_create(
        Price(resource=r, amount=Decimal("0.01"), valid_from=now - timedelta(days=1))
        for r in Resource.objects.filter(slug__startswith="many-")
    )
    first = Resource.objects.filter(slug__startswith="many-").first()
    terms = {"amount": "0.07", "currency": "USD"} if action == "set_price" else {}
    terms = terms or {"percent": "600", "places": "2"}
    chosen = {"action": action, "select_across": "1", "_selected_action": [first.pk]}
    page = owner.post(f"{LIST}?q=many", {**chosen, "step": "preview", **terms})
    assert page.status_code == 200
    html = page.content.decode()
    assert html.count('name="_selected_action"') == 1
    assert 'name="seen" value="120"' in html
    done = owner.post(f"{LIST}?q=many", {**chosen, "step": "apply", "seen": "120", **terms})
    assert done.status_code == 302
    in_force = Price.objects.in_force(timezone.now()).filter(resource__slug__startswith="many-")
    assert set(in_force.values_list("amount", flat=True)) == {Decimal("0.07")}
    # What came to the list meanwhile is looked at first.
    again = owner.post(f"{LIST}?q=many", {**chosen, "step": "apply", "seen": "299", **terms})
    assert again.status_code == 200
    assert "look at them once more" in again.content.decode()


def test_a_price_does_not_begin_in_the_past(owner, item):
    url = reverse("admin:paywall_resource_price", args=[item.pk])
    past = (timezone.now() - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    page = owner.post(url, {"amount": "9", "currency": "USD", "valid_from": past})
    assert "That is past" in page.content.decode()
    with pytest.raises(ValidationError, match="newer price is in force"):
        Price(
            resource=item,
            amount=Decimal(9),
            currency="USD",
            valid_from=timezone.now() - timedelta(days=1),
        ).full_clean()
    assert item.current_price().amount == Decimal("0.01")


def test_a_path_rule_without_a_price_is_warned_of(owner, account):
    from tests.desk.test_admin import RESOURCE, price_rows

    data = {**RESOURCE, "title": "Rule", "slug": "rule", "path": "/x/**", "methods": ""}
    page = owner.post(f"{LIST}add/", {**data, **price_rows()}, follow=True)
    assert Resource.objects.filter(slug="rule").exists(), page.context["errors"]
    assert "has no price in force: its URLs answer 503" in page.content.decode()


# ------------------------------------------------------------------------ Said in code


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"policy": "sometimes"}, "policy is one of after, before, background"),
        ({"access": "always"}, "access is one of"),
        ({"access": "period"}, "needs its duration"),
        ({"access": "period", "pass_seconds": 0}, "needs its duration"),
        ({"access": "period", "pass_seconds": "1 day"}, "needs its duration"),
        ({"pass_seconds": 60}, "goes with access='period'"),
        ({"currency": "dollars"}, "is no currency"),
        ({"title": "x" * 201}, "200 characters"),
    ],
)
def test_nonsense_in_a_decorator_is_said_at_import_where_it_stands(fields, word, monkeypatch):
    monkeypatch.setattr(declarations, "_declared", {})
    with pytest.raises(ImproperlyConfigured, match=word) as caught:
        payment_required("nonsense", price="0.01", **fields)
    assert "payment_required('nonsense') in " in str(caught.value)
    assert "test_odd_input.py, line " in str(caught.value)


def test_an_object_is_sold_once(account):
    article = Article.objects.create(slug="a", title="A", author="A", teaser="", body="")
    article.sell("0.10")
    with pytest.raises(ImproperlyConfigured, match="is sold already"):
        article.sell("0.20")


@pytest.mark.parametrize(
    "fields", [{"access": "period"}, {"policy": "x"}, {"currency": "x"}, {"amount": "much"}]
)
def test_an_object_that_cannot_be_sold_so_says_why(account, fields):
    article = Article.objects.create(slug="a", title="A", author="A", teaser="", body="")
    amount = fields.pop("amount", "0.10")
    with pytest.raises(ImproperlyConfigured, match="cannot be sold so"):
        article.sell(amount, **fields)
    assert not Resource.objects.filter(title="A").exists()


def test_a_long_url_is_paid(item, buyer, facilitator):
    path = f"/item/?q={'x' * 6_000}"
    challenge = Client().get(path)
    assert challenge.status_code == 402
    assert Client().get(path, headers=Buyer().pays(challenge)).status_code == 200
    assert Payment.objects.get().url.endswith("xxx")
    assert offers.peek("nothing") is None
