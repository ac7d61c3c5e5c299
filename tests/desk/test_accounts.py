"""Where money goes: checked before it is saved, tried, and opened by two people if so wished."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from paywall.models import Account
from paywall.rails.evm.tokens import TOKENS
from tests.conftest import PAY_TO

pytestmark = pytest.mark.django_db

ADD = "/admin/paywall/account/add/"
LIST = "/admin/paywall/account/"
OTHER = "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc"


def form(pay_to: str = OTHER, **more: object) -> dict[str, object]:
    return {"preset": "usdc-base", "pay_to": pay_to, "order": "0", "enabled": "on", **more}


@pytest.mark.parametrize(
    ("pay_to", "error"),
    [
        (OTHER[:-1] + "C", "fails its checksum"),
        ("0x" + "0" * 40, "zero address is gone"),
        (TOKENS["usdc-base"].asset, "contract: money sent there is gone"),
        (TOKENS["usdc-polygon"].asset, "contract: money sent there is gone"),
        ("me", "An address is 0x and 40 hex digits."),
    ],
)
def test_an_address_where_money_would_be_gone_is_refused(owner, pay_to, error):
    assert error in owner.post(ADD, form(pay_to)).content.decode()
    assert not Account.objects.exists()


def test_a_test_network_is_marked(owner, account):
    page = owner.get(LIST).content.decode()
    assert '<span class="paywall-testnet">test network</span>' in page


def test_a_node_that_is_away_does_not_keep_the_page_or_the_owner(owner, account, paywall_settings):
    paywall_settings(RPC_URLS={account.network: "http://127.0.0.1:9"}, RPC_TIMEOUT=0.5)
    page = owner.get(f"{LIST}{account.pk}/change/").content.decode()
    assert "not known:" in page
    paywall_settings(RPC_URLS={"eip155:8453": "http://127.0.0.1:9"})
    assert owner.post(ADD, form()).status_code == 302


def test_a_new_account_is_in_the_log(owner):
    owner.post(ADD, form())
    assert LogEntry.objects.filter(change_message=f"pay to: – → {OTHER} (eip155:8453)").exists()


def test_a_second_person_opens_it(owner, staff, paywall_settings):
    paywall_settings(TWO_PERSON_RULE=True)
    page = owner.post(ADD, form(), follow=True).content.decode()
    assert "before a second person approves" in page
    account = Account.objects.get()
    assert (account.enabled, account.proposed_by.username) == (False, "owner")
    data = {"action": "approve", "_selected_action": [account.pk]}
    assert "somebody else has to approve" in owner.post(LIST, data, follow=True).content.decode()
    account.refresh_from_db()
    assert account.enabled is False
    second = staff(name="second")
    second_user = second.get("/admin/").wsgi_request.user
    from django.contrib.auth.models import Permission

    second_user.user_permissions.set(
        Permission.objects.filter(codename__in=["view_account", "approve_account"])
    )
    second.post(LIST, data)
    account.refresh_from_db()
    assert (account.enabled, account.proposed_by) == (True, None)
    assert LogEntry.objects.filter(change_message__startswith="approved: proposed by").exists()


def test_opening_a_disabled_one_takes_a_second_person_too(owner, account, paywall_settings):
    account.enabled = False
    account.save()
    paywall_settings(TWO_PERSON_RULE=True)
    data = {
        "form-TOTAL_FORMS": 1,
        "form-INITIAL_FORMS": 1,
        "form-0-id": account.pk,
        "form-0-order": 0,
        "form-0-enabled": "on",
        "_save": "Save",
    }
    owner.post(LIST, data)
    account.refresh_from_db()
    assert account.enabled is False
    assert account.proposed_by is not None


def test_who_may_not_approve_does_not_see_how(staff, account):
    page = staff("Paywall auditors").get(LIST).content.decode()
    assert "Approve" not in page


def test_a_test_payment_shows_a_code_to_scan(owner, account):
    page = owner.get(reverse("admin:paywall_account_test", args=[account.pk])).content.decode()
    assert "<svg" in page
    asset = account.terms["asset"]
    uri = re.search(r"ethereum:[^<]+", page)[0].replace("&amp;", "&")
    assert uri.startswith(f"ethereum:{asset}@84532/transfer?address={PAY_TO}&uint256=1")
    assert "no node is set for this network" in page
    assert 'role="img"' in page
