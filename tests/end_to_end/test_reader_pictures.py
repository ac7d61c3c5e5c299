"""What a reader sees in each state, at desktop and phone width, light and dark: looked at by
axe-core here, and by people in var/pictures."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from eth_account import Account
from playwright.sync_api import Browser, expect

from site_demo.chain.local import LocalChain, account

from .browser import browser
from .conftest import SELLER, Site
from .reader import Reader, Wallet, declines, each_look


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with browser() as started:
        yield started


def pay_by_transfer(chain: LocalChain, units: int) -> str:
    chain.mint(account(6).address, units)
    return chain.send("transfer(address,uint256)", SELLER, units, sender=6)


@each_look
def test_each_state(chrome, make_site, chain, phone, scheme):
    site: Site = make_site(PAYWALL_FREE_ARTICLES="0").start()
    wallet = Wallet(Account.create(), chain)
    other = Wallet(Account.create(), chain, name="Another wallet")
    person = Reader(chrome, site.url, wallet, other, phone=phone, color_scheme=scheme)
    page = person.page
    look = partial(person.look, "readers")

    person.open("/articles/deep-archive/")
    look("402")
    page.get_by_text("How a program pays").click()
    look("402-program")
    person.pay()
    expect(page.locator("[data-paywall-picker] button")).to_have_count(2)
    look("which-wallet")
    page.locator("[data-paywall-wallet='test.test-wallet']").click()
    expect(person.alert).to_contain_text("This wallet has 0 USDC")
    look("poor")
    chain.mint(wallet.account.address, 5_000_000)
    wallet.before["eth_signTypedData_v4"] = declines
    person.pay()
    page.locator("[data-paywall-wallet='test.test-wallet']").click()
    expect(person.alert).to_contain_text("You declined")
    look("declined")
    person.pay("transfer")
    expect(page.locator(".paywall-qr svg")).to_be_visible()
    look("transfer")
    transaction = pay_by_transfer(chain, 40_000)
    page.get_by_text("I have paid, and nothing happens").click()
    page.fill("[name=payment]", transaction)
    page.get_by_role("button", name="Look for it").click()
    expect(page.locator("[data-paywall-misfit]")).to_be_visible()
    look("transfer-short")
    wallet.before.clear()
    person.pay()
    page.locator("[data-paywall-wallet='test.test-wallet']").click()
    expect(page.locator("[data-paywall-receipt]")).to_be_visible()
    look("paid")
    receipt = page.locator("[data-paywall-receipt]").get_attribute("href")
    page.goto(str(receipt))
    look("receipt")
    person.open("/articles/in-part/the-long-now-of-soup/")
    expect(person.way("wallet")).to_be_visible()
    look("in-part")
    person.open("/paywall/purchases/")
    look("purchases")
    person.open("/articles/deep-archive/")
    page.get_by_role("button", name="Give this page to somebody").click()
    look("gift")
    person.open("/paywall/handler/wallet/")
    expect(page.locator("html[data-wallet-ready]")).to_be_attached()
    look("wallet-new")
    person.close()
    assert person.problems == []
