"""`paywall_doctor`: what stops money is found, and said with what to do."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from paywall.findings import Grade
from paywall.models import Account, Resource, RollUp
from paywall.reports import rollups
from tests.doubles import Answer
from tests.helpers import found_by_doctor as said

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop(item, facilitator):
    """Only what this site's own tests lack is wrong with it: a node, and a broker."""
    Resource.objects.exclude(pk=item.pk).update(active=False)
    rollups.roll_up()
    return item


def test_what_is_well_is_said_too(shop):
    well = said(Grade.OK)
    assert "the worker keeps up" in well
    assert "the facilitator default settles on Base Sepolia" in well
    assert "1 resources can be paid" in well


def test_without_a_node_nothing_is_confirmed(shop):
    assert "no node is read" in said(Grade.FAIL)


def test_a_node_that_does_not_answer(shop, paywall_settings, facilitator):
    paywall_settings(
        FACILITATOR_URL=facilitator.url,
        RPC_URLS={"eip155:84532": "http://127.0.0.1:9/v2/SECRET-KEY"},
        RPC_TIMEOUT=0.2,
    )
    failures = said(Grade.FAIL)
    assert "the node does not answer" in failures
    assert "SECRET-KEY" not in failures


def test_a_worker_that_is_not_there(shop):
    RollUp.objects.update(rolled_up_at=timezone.now() - timedelta(hours=1))
    assert "no worker has been at it" in said(Grade.FAIL)


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (Answer(500), "does not say what it settles: HTTPStatusError 500"),
        (Answer(401), "does not say what it settles: HTTPStatusError 401"),
        (Answer(body=[]), "does not say what it settles"),
        (Answer(die=True), "does not say what it settles"),
        (Answer(body={"kinds": []}), "does not settle on Base Sepolia"),
        (
            Answer(body={"kinds": [{"scheme": "exact", "network": "eip155:8453"}]}),
            "does not settle on Base Sepolia",
        ),
    ],
)
def test_a_facilitator_that_will_not_settle(shop, facilitator, answer, what):
    facilitator.supported = answer
    assert what in said(Grade.FAIL)


def test_one_that_speaks_x402_v1_will_do(shop, facilitator):
    facilitator.supported = Answer(body={"kinds": [{"scheme": "exact", "network": "base-sepolia"}]})
    assert "settles on Base Sepolia" in said(Grade.OK)


def test_each_is_asked_once_however_many_accounts_it_has(shop, facilitator):
    its = Account.objects.get()
    Account.objects.create(
        network=its.network,
        currency=its.currency,
        decimals=its.decimals,
        terms={**its.terms, "pay_to": "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"},
    )
    assert said(Grade.OK).count("settles on Base Sepolia") == 1
    assert [path for path, *_ in facilitator.requests].count("/supported") == 1


def test_who_does_not_settle_for_any_account_is_not_asked(shop, paywall_settings, facilitator):
    elsewhere = "http://127.0.0.1:9"
    both = {"mine": {"URL": facilitator.url}, "idle": {"URL": elsewhere}}
    paywall_settings(FACILITATOR_URL="", FACILITATORS=both)
    Account.objects.update(facilitators="mine")
    assert "the facilitator mine settles" in said(Grade.OK)
    assert "idle" not in said(Grade.FAIL)


def test_what_is_closed_is_named(shop, make_resource):
    make_resource("foreign", price="1.00")
    Resource.objects.get(slug="foreign").prices.all().delete()
    assert "'foreign' cannot be paid" in said(Grade.FAIL)


def test_nobody_can_pay(shop):
    Account.objects.all().delete()
    assert "there is no enabled account" in said(Grade.FAIL)


def test_system_checks_are_among_them(shop, settings):
    settings.DEBUG = False
    assert "(paywall.W011)" in said(Grade.NOTE)


def test_for_programs_and_by_its_exit_code(shop, capsys, facilitator):
    with pytest.raises(SystemExit) as left:
        call_command("paywall_doctor", "--json", "--live", "http://127.0.0.1:9/item/")
    assert left.value.code == 1
    found = json.loads(capsys.readouterr().out)
    assert {"grade", "what", "todo"} == found[0].keys()
    assert "http://127.0.0.1:9/item/ cannot be reached: ConnectError" in [
        one["what"] for one in found
    ]
    assert all(one["todo"] for one in found if one["grade"] == "fail")


def test_for_people(shop, capsys):
    with pytest.raises(SystemExit):
        call_command("paywall_doctor")
    told = capsys.readouterr().out
    assert "fail  " in told
    assert "ok    the worker keeps up" in told
