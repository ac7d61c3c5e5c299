"""`paywall_doctor` on a chain: nodes, tokens, clocks and gas."""

from __future__ import annotations

import json

import pytest

from paywall.findings import Grade
from paywall.models import Account
from site_demo.chain.local import CHAIN_ID, NETWORK, account
from tests.helpers import found_by_doctor as said

pytestmark = pytest.mark.django_db(transaction=True)


def test_all_is_well(own_shop):
    well = said(Grade.OK)
    assert "Base Sepolia: the node is at block" in well
    assert "the token's name and version are right" in well
    assert "is left for gas" in well


def test_the_official_facilitator_is_asked(shop):
    assert "the facilitator default settles on Base Sepolia" in said(Grade.OK)


@pytest.mark.parametrize("wrong", [{"eip712_name": "USD Coin"}, {"eip712_version": "1"}])
def test_a_token_that_calls_itself_otherwise(shop, wrong):
    its = Account.objects.get()
    Account.objects.filter(pk=its.pk).update(terms={**its.terms, **wrong})
    assert "the token does not call itself" in said(Grade.FAIL)


def test_no_token_is_there(shop):
    its = Account.objects.get()
    nobody = account(3).address
    Account.objects.filter(pk=its.pk).update(terms={**its.terms, "asset": nobody})
    assert f"no token is at {nobody}" in said(Grade.FAIL)


def test_a_node_of_another_chain(shop, chain, paywall_settings, facilitator_url):
    other = "eip155:8453"
    paywall_settings(FACILITATOR_URL=facilitator_url, RPC_URLS={other: chain.url})
    Account.objects.update(network=other)
    assert f"the node is of another chain, {CHAIN_ID}" in said(Grade.FAIL)


def test_a_clock_that_is_behind(private_chain):
    private_chain.advance(3_600)
    assert "in our future" in said(Grade.FAIL)


def test_no_gas(private_chain, paywall_settings):
    poor = "0x" + "77" * 32
    paywall_settings(GAS_KEY=poor, FACILITATOR_URL="", RPC_URLS={NETWORK: private_chain.url})
    assert "0.000000 is left for gas" in said(Grade.FAIL)


def test_a_whole_site_and_its_url(make_site, chain):
    site = make_site().start()
    site.manage("paywall_run", "--once")
    url = f"{site.url}/api/forecast/"
    site.env["CELERY_BROKER_URL"] = ""
    found = json.loads(site.manage("paywall_doctor", "--json", "--live", url))
    assert not [one for one in found if one["grade"] == "fail"]
    assert "it asks for payment (402)" in [one["what"] for one in found]
