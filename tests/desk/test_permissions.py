"""Every action and every page that changes something names its permission: walked, as everybody."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from paywall.catalog import offers
from paywall.ledger import balances, licenses
from paywall.models import (
    Account,
    Alert,
    AlertMessage,
    Balance,
    Gift,
    LicenseClient,
    LicenseToken,
    Payment,
    Price,
    Refund,
    Resource,
)
from paywall.reports import alerts
from paywall.roles import ROLES
from paywall.settlement import worker
from tests.helpers import set_terms

pytestmark = pytest.mark.django_db

ACTIONS = {
    # model: action -> permission
    "payment": {"look_again": "look_again_payment", "refund": "refund_payment"},
    "refund": {"call_off": "refund_payment", "close": "refund_payment"},
    "balance": {"refund_rest": "refund_payment"},
    "accesspass": {"revoke": "revoke_accesspass"},
    "gift": {"revoke": "change_gift"},
    "licenseclient": {"renew_secret": "change_licenseclient"},
    "licensetoken": {"revoke": "change_licensetoken"},
    "alert": {"send_again": "send_alert"},
    "account": {"approve": "approve_account"},
    "resource": {
        "set_price": "add_price",
        "raise_price": "add_price",
        "activate": "change_resource",
        "deactivate": "change_resource",
        "duplicate": "add_resource",
        "set_meter": "change_resource",
    },
}
PEOPLE = [*ROLES, "nobody's group", "viewers of everything"]


@pytest.fixture
def person(staff):
    def sign_in(name: str) -> tuple[Client, set[str]]:
        client = staff(*([name] if name in ROLES else []), name="person")
        user = User.objects.get(username="person")
        if name.startswith("viewers"):
            views = Permission.objects.filter(
                content_type__app_label="paywall", codename__startswith="view_"
            )
            user.user_permissions.set(views)
        found = Permission.objects.filter(group__user=user) | user.user_permissions.all()
        return client, set(found.values_list("codename", flat=True))

    return sign_in


def of_paywall() -> list[Any]:
    return [
        model_admin
        for model, model_admin in admin.site._registry.items()
        if model._meta.app_label == "paywall"
    ]


def actions_of(model_admin: Any, user: User) -> set[str]:
    request = RequestFactory().get("/")
    request.user = User.objects.get(pk=user.pk)
    return set(model_admin.get_actions(request)) - {"delete_selected"}


def test_every_action_is_listed_here_with_its_permission():
    found = {}
    for model_admin in of_paywall():
        names = {function.__name__: function for function, *_ in model_admin._get_base_actions()}
        names.pop("delete_selected", None)
        names.pop("export_admin_action", None)
        if names:
            found[model_admin.opts.model_name] = set(names)
        for name, function in names.items():
            assert getattr(function, "allowed_permissions", None), name
    assert found == {model: set(actions) for model, actions in ACTIONS.items()}


@pytest.mark.parametrize("who", PEOPLE)
def test_everybody_is_offered_what_they_may_do_and_nothing_else(person, who):
    _, may = person(who)
    user = User.objects.get(username="person")
    for model_admin in of_paywall():
        expected = {
            action
            for action, permission in ACTIONS.get(model_admin.opts.model_name, {}).items()
            if permission in may
        }
        found = actions_of(model_admin, user) - {"export_admin_action"}
        assert found == expected, (who, model_admin.opts.model_name)


@pytest.fixture
def shop(item, sold):
    receipt = sold("one")
    payment = receipt.payment
    alert = Alert.objects.create(key="k", kind="test", title="t", text="t")
    AlertMessage.objects.create(alert=alert, channel="email", to="a@example.com", attempts=3)
    refund = Refund.objects.create(
        payment=payment, amount="1", reason="r", is_ours_to_send=True, state="unclear"
    )
    gift = Gift.objects.create(
        resource=item, url="http://testserver/item/", expires_at=timezone.now() + timedelta(days=1)
    )
    balances.top_up(payment, "b" * 64)
    reader = LicenseClient.objects.create(name="Reader Ltd")
    _, token = licenses.issue(reader, offers.get(item.pk), payment.pk)
    return {
        "licenseclient": reader.pk,
        "licensetoken": token.pk,
        "balance": Balance.objects.get().pk,
        "gift": gift.pk,
        "payment": payment.pk,
        "refund": refund.pk,
        "alert": alert.pk,
        "resource": item.pk,
        "account": Account.objects.get().pk,
        "accesspass": 1,
        "receipt": receipt.pk,
    }


@pytest.mark.parametrize("who", PEOPLE)
def test_an_action_that_is_not_offered_does_nothing(person, shop, who, monkeypatch):
    client, may = person(who)
    looked: list[Any] = []
    monkeypatch.setattr(worker, "look_at", lambda keys: looked.append(list(keys)) or {})
    for model, actions in ACTIONS.items():
        for action, permission in actions.items():
            if permission in may:
                continue
            before = snapshot()
            client.post(
                reverse(f"admin:paywall_{model}_changelist"),
                {"action": action, "_selected_action": [shop[model]], "reason": "x"},
            )
            assert snapshot() == before, (who, action)
    assert not looked


_WATCHED: tuple[Any, ...] = (
    *(Payment, Refund, AlertMessage, Resource, Price, Account, LicenseClient, LicenseToken),
)


def snapshot() -> list[Any]:
    return [list(model._default_manager.order_by("pk").values()) for model in _WATCHED]


POSTS = {
    # a page that changes something: the permission it asks for
    "admin:paywall_alert_test": ("send_alert", [], {}),
    "admin:paywall_resource_price": ("add_price", ["resource"], {"amount": "9", "currency": "USD"}),
    "paywall_dashboard:act refund": ("refund_payment", ["receipt"], {"refund-reason": "x"}),
    "paywall_dashboard:act note": ("note_receipt", ["receipt"], {"note-text": "x"}),
    "paywall_dashboard:act resend": ("note_receipt", ["receipt"], {"resend-to": "a@example.com"}),
    "paywall_dashboard:act revoke": ("revoke_accesspass", ["receipt"], {}),
    "paywall_dashboard:exports": ("export_receipt", [], {"kind": "receipts", "format": "csv"}),
}


@pytest.mark.parametrize("name", POSTS)
@pytest.mark.parametrize("who", PEOPLE)
def test_every_page_that_changes_something_asks_for_its_permission(
    person, shop, who, name, mailoutbox
):
    client, may = person(who)
    permission, keys, data = POSTS[name]
    view, _, action = name.partition(" ")
    args = [shop[key] for key in keys] + ([action] if action else [])
    before = snapshot(), LogEntry.objects.count(), len(mailoutbox)
    status = client.post(reverse(view, args=args), data).status_code
    if permission in may:
        assert status in (200, 302, 400)
    else:
        assert status == 403
        assert (snapshot(), LogEntry.objects.count(), len(mailoutbox)) == before


def test_who_may_change_resources_may_not_price_them(staff, item):
    client = staff(name="clerk")
    clerk = User.objects.get(username="clerk")
    names = ("view_resource", "change_resource", "view_price")
    clerk.user_permissions.set(Permission.objects.filter(codename__in=names))
    price = reverse("admin:paywall_resource_price", args=[item.pk])
    assert client.post(price, {"amount": "9", "currency": "USD"}).status_code == 403
    page = client.get(reverse("admin:paywall_resource_change", args=[item.pk])).content.decode()
    assert "prices-0-amount" not in page
    assert client.get("/admin/paywall/resource/import/").status_code == 403
    chosen = {"action": "set_price", "_selected_action": [item.pk], "step": "apply"}
    client.post("/admin/paywall/resource/", {**chosen, "amount": "9", "currency": "USD"})
    assert item.prices.count() == 1


def test_one_person_does_not_make_payments_final_sooner(owner, account, paywall_settings):
    paywall_settings(TWO_PERSON_RULE=True)
    set_terms(confirmations=12)
    url = reverse("admin:paywall_account_change", args=[account.pk])
    data = {"order": "0", "enabled": "on", "confirmations": "1", "symbol": "USDC"}
    assert owner.post(url, data).status_code == 302
    account.refresh_from_db()
    assert (account.terms["confirmations"], account.enabled) == (12, True)
    approve = {"action": "approve", "_selected_action": [account.pk]}
    owner.post(reverse("admin:paywall_account_changelist"), approve)
    account.refresh_from_db()
    assert account.terms["confirmations"] == 12  # not by whoever proposed it
    second = Client()
    second.force_login(User.objects.create_superuser("second", password="x"))
    second.post(reverse("admin:paywall_account_changelist"), approve)
    account.refresh_from_db()
    assert (account.terms["confirmations"], account.proposed, account.proposed_by) == (1, {}, None)


def test_a_test_of_alerts_is_sent_by_who_may(staff, settings):
    settings.PAYWALL = {**settings.PAYWALL, "ALERT_EMAILS": ["owner@example.com"]}
    assert staff("Paywall refunders").post(reverse("admin:paywall_alert_test")).status_code == 302
    assert Alert.objects.filter(kind="test").exists()
    assert alerts.addresses()
