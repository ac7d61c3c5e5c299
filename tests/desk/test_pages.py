"""Every page of the desk opens, for whom it is meant, with as many queries at any volume."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from paywall.models import Account, Audience, Payment, Price, Resource
from paywall.reports import rollups

from .conftest import days_ago

pytestmark = pytest.mark.django_db

MODELS = [
    *(
        "accesspass",
        "account",
        "alert",
        "alertrecipient",
        "audience",
        "balance",
        "balanceentry",
        "botsource",
        "cursor",
    ),
    *("dashboard", "dispute", "export"),
    *("licenseclient", "licensetoken", "usageterms"),
    *("exposure", "facilitatorhealth", "freeuse", "gift", "meter", "notice", "order", "payment"),
    *("refund", "resource", "transaction", "visitorrule", "wallet"),
]
DESK = ["index", "receipts", "exports", "doctor", "live", "visitors"]


def queries(client, url):
    with CaptureQueriesContext(
        connection,
    ) as captured:
        response = client.get(url)
    assert response.status_code == 200, (url, response.status_code)
    return len(captured)


@pytest.mark.matrix
@pytest.mark.parametrize("model", MODELS)
def test_every_list_opens_and_is_as_cheap_with_more_rows(owner, sold, make_resource, model):
    url = reverse(f"admin:paywall_{model}_changelist")
    if model == "dashboard":
        url = reverse("admin:paywall_dashboard:index")
    sold("first")
    rollups.rebuild()
    owner.get(url)
    before = queries(owner, url)
    for number in range(6):
        resource = make_resource(f"more-{number}", access="forever")
        Price.objects.create(resource=resource, amount="0.02")
        Audience.objects.create(name=f"people {number}", kind="signed_in")
        sold(f"more {number}", resource=resource)
    rollups.rebuild()
    assert queries(owner, url) == before


def test_all_models_of_the_desk_are_in_that_list():
    from django.contrib import admin

    ours = {m._meta.model_name for m in apps.get_app_config("paywall").get_models()}
    registered = {m._meta.model_name for m in admin.site._registry if m._meta.model_name in ours}
    # The proxy is the dashboard.
    assert registered | {"dashboard"} == {*MODELS, "receipt"}, "receipts are in DESK"


@pytest.mark.parametrize("mount", ["paywall_dashboard", "admin:paywall_dashboard"])
@pytest.mark.parametrize("page", DESK)
def test_the_dashboard_opens_wherever_it_is_mounted(owner, sold, mount, page):
    sold()
    rollups.rebuild()
    response = owner.get(reverse(f"{mount}:{page}"))
    assert response.status_code == 200
    assert ("breadcrumbs" in response.content.decode()) == mount.startswith("admin")


def test_the_dashboard_asks_the_same_number_of_questions_whatever_was_sold(owner, sold):
    periods = ("today", "7", "30", "365", "range", "nonsense")
    urls = [f"/dashboard/?period={p}&from=2020-01-01&to=2020-02-01" for p in periods]
    sold("first")
    rollups.rebuild()
    owner.get(urls[0])
    before = {url: queries(owner, url) for url in urls}
    for number in range(12):
        sold(f"more {number}", created_at=days_ago(number * 3))
    rollups.rebuild()
    assert {url: queries(owner, url) for url in urls} == before


def test_the_receipts_list_asks_the_same_number_of_questions_whatever_was_sold(owner, sold):
    sold("first")
    owner.get("/dashboard/receipts/")
    before = queries(owner, "/dashboard/receipts/")
    for number in range(12):
        sold(f"more {number}")
    assert queries(owner, "/dashboard/receipts/") == before


@pytest.mark.parametrize("path", ["", "receipts/", "exports/", "receipts/1/"])
def test_a_stranger_is_asked_to_sign_in_and_others_are_refused(db, staff, path):
    response = Client().get(f"/dashboard/{path}")
    assert response.status_code == 302
    assert response.url.startswith("/admin/login/?next=/dashboard/")
    assert staff().get(f"/dashboard/{path}").status_code == 403


@pytest.mark.parametrize(
    ("group", "may"),
    [
        ("Paywall price editors", {"index", "receipts", "doctor", "live", "visitors"}),
        ("Paywall refunders", {"index", "receipts", "doctor", "live", "visitors"}),
        ("Paywall auditors", {"index", "receipts", "exports", "doctor", "live", "visitors"}),
    ],
)
def test_each_role_sees_what_it_is_for(staff, group, may):
    client = staff(group)
    opens = {p for p in DESK if client.get(reverse(f"paywall_dashboard:{p}")).status_code == 200}
    assert opens == may


def test_price_editors_edit_prices_and_nobody_edits_payments(staff, owner, item, sold):
    receipt = sold()
    editor = staff("Paywall price editors")
    auditor = staff("Paywall auditors", name="auditor")
    price = reverse("admin:paywall_resource_price", args=[item.pk])
    assert editor.get(price).status_code == 200
    assert auditor.get(price).status_code == 403
    assert auditor.get(reverse("admin:paywall_resource_changelist")).status_code == 200
    payment = reverse("admin:paywall_payment_change", args=[receipt.payment_id])
    assert auditor.get(payment).status_code == 200
    for client in (editor, auditor, owner):
        assert client.post(payment, {"state": "failed"}).status_code == 403
    receipt.payment.refresh_from_db()
    assert receipt.payment.state == "confirmed"


def test_a_new_owner_is_greeted_with_what_to_do_next(owner):
    page = owner.get("/dashboard/").content.decode()
    assert "Say where your money goes" in page
    assert reverse("admin:paywall_account_add") in page
    assert 'class="done"' in page  # the shop's code sells things, and names a facilitator


def test_the_greeting_becomes_the_dashboard_by_itself(owner, sold):
    asked = {"HX-Request": "true"}
    Payment.objects.all().delete()
    greeting = owner.get("/dashboard/", headers=asked).content.decode()
    assert "desk-steps" in greeting
    assert "<html" not in greeting
    sold()
    rollups.roll_up()
    fragment = owner.get("/dashboard/", headers=asked).content.decode()
    assert "desk-figures" in fragment
    assert "<html" not in fragment


def test_what_is_done_is_shown_as_done(owner, item):
    steps = owner.get("/dashboard/").context["steps"]
    done = {str(step.title) for step in steps if step.done}
    assert {"Say where your money goes", "Put a price on something", "Sell it"} <= done
    assert "Run the worker" not in done
    rollups.roll_up()
    steps = owner.get("/dashboard/").context["steps"]
    assert "Run the worker" in {str(step.title) for step in steps if step.done}
    assert Account.objects.exists()
    assert Resource.objects.exists()
