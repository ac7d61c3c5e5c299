"""The browser's payment sheet, with the wallet that the app ships, in a real Chromium."""

from __future__ import annotations

import pytest

from site_demo.chain.local import LocalChain

from .browser import PICTURES
from .conftest import Site
from .payment_sheet import Sheet, Window, payment_sheet

BODY = "The ledger is a school exercise book"


@pytest.fixture
def site(make_site) -> Site:
    return make_site().start()


@pytest.fixture
def sheet():
    with payment_sheet() as started:
        yield started


HANDLER = "[data-paywall-way=handler]"


def opens(sheet: Sheet, site: Site, path: str = "/articles/slow-money/") -> Window:
    """Press the button, and the wallet's window opens. (`localhost` is a secure context.)"""
    sheet.open(site.url.replace("127.0.0.1", "localhost") + path)
    sheet.page.wait(f"!!document.querySelector('{HANDLER}:not([hidden])')")
    sheet.page.run(f"document.querySelector('{HANDLER} [data-paywall-pay]').click()")
    return sheet.window().ready()


def is_open(sheet: Sheet, text: str = BODY) -> None:
    sheet.page.wait(f"document.querySelector('main.article')?.innerText.includes({text!r})")


def test_with_the_wallet_installed_just_in_time_and_again(sheet, site, chain: LocalChain):
    window = opens(sheet, site)
    assert "A wallet on this device" in window.text()
    window.fill("input[type=password]", "correct horse battery")
    window.click("create_passphrase")
    address = window.address()
    window.fill("input[type=password]", "correct horse battery")
    window.click("pay")
    assert "100000" not in window.text()
    window.wait("document.querySelector('[role=alert]').innerText.includes('are needed')")
    chain.mint(address, 1_000_000)
    window.wait("document.querySelector('[data-wallet-balance]').innerText === '1 USDC'")
    PICTURES.mkdir(parents=True, exist_ok=True)
    (PICTURES / "reader-handler.png").write_bytes(window.picture())
    window.click("pay")
    is_open(sheet)
    assert chain.balance(address) == 900_000

    window = opens(sheet, site, "/articles/quiet-engines/")
    assert window.address() == address
    window.fill("input[type=password]", "wrong, that is")
    window.click("pay")
    window.wait("document.querySelector('[role=alert]').innerText.includes('not the passphrase')")
    window.fill("input[type=password]", "correct horse battery")
    window.click("pay")
    is_open(sheet, "You do not listen to an engine")


def test_with_a_passkey(sheet, site, chain: LocalChain):
    window = opens(sheet, site)
    window.has_passkeys()
    window.send("Page.reload")
    window.wait("document.readyState === 'complete'")
    window.ready()
    window.click("create_passkey")
    address = window.address()
    chain.mint(address, 1_000_000)
    window.wait("document.querySelector('[data-wallet-balance]').innerText === '1 USDC'")
    window.click("show_key")
    key = window.wait("[...document.querySelectorAll('details .paywall-code')].pop().textContent")
    from eth_account import Account

    assert Account.from_key(key).address == address
    window.click("pay")
    is_open(sheet)


def test_who_declines_pays_nothing(sheet, site):
    window = opens(sheet, site)
    window.fill("input[type=password]", "correct horse battery")
    window.click("create_passphrase")
    window.address()
    window.click("decline")
    sheet.page.wait("document.querySelector('[data-paywall-checkout] [role=alert]').innerText")
    assert BODY not in sheet.page.text()


def test_no_more_than_its_owner_allows(sheet, site, chain: LocalChain):
    window = opens(sheet, site)
    window.fill("input[type=password]", "correct horse battery")
    window.click("create_passphrase")
    chain.mint(window.address(), 1_000_000)
    window.run("document.querySelectorAll('details')[1].querySelector('input').value = '0.05'")
    window.click("save")
    window.wait("document.querySelector('[role=status]').innerText === 'Saved.'")
    window.fill("input[type=password]", "correct horse battery")
    window.click("pay")
    window.wait("document.querySelector('[role=alert]').innerText.includes('0.05 a day')")
    assert BODY not in sheet.page.text()


def test_another_sites_page_cannot_use_it(sheet, site):
    """Nor is it shown there: the worker says no to origins that the settings do not name."""
    window = opens(sheet, site)
    window.ready()
    sheet.open(site.url + "/articles/slow-money/")  # 127.0.0.1 is another origin than localhost
    method = site.url.replace("127.0.0.1", "localhost") + "/paywall/handler/"
    told = sheet.page.run(
        """(async (method) => {
            const total = {label: "Theft", amount: {currency: "USD", value: "1.00"}};
            const asked = new PaymentRequest([{supportedMethods: method, data: {}}], {total});
            return (await asked.show()).details;
        })("""
        + repr(method)
        + ")"
    )
    assert told == {"refused": "This site may not pay with this wallet."}
