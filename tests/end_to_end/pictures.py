"""Takes the pictures of the docs anew: `python -m tests.end_to_end.pictures`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from eth_account import Account
from playwright.sync_api import expect

from site_demo.chain.local import LocalChain

from . import browser
from .browser import Desk
from .conftest import ROOT, Site, demo_site, official_facilitator
from .payment_sheet import payment_sheet
from .reader import Reader, Wallet

PICTURES = {
    "dashboard": "/admin/paywall/dashboard/?period=365",
    "visitors": "/admin/paywall/dashboard/visitors/",
    "resources": "/admin/paywall/resource/?o=-5",
    "tester": "/admin/paywall/resource/tester/?url=/archive/2019/5/&method=GET",
    "receipt": "/admin/paywall/dashboard/receipts/{receipt}/",
}
IMAGES = ROOT / "docs" / "images"
NEWEST = "from paywall.models import Receipt; print(Receipt.objects.latest('issued_at').pk)"


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="paywall-pictures-"))
    with LocalChain() as chain, official_facilitator(chain) as facilitator:
        site = demo_site(folder, chain, facilitator)
        site.manage("migrate", "-v", "0")
        site.manage("seed_demo")
        site.manage("paywall_fake", "--payments", "60000")
        site.start()
        newest = site.shell(NEWEST).splitlines()[-1]
        with browser.browser() as started:
            desk = Desk(started, site.url, viewport={"width": 1360, "height": 900}).sign_in()
            desk.page.evaluate("localStorage.setItem('django.admin.navSidebarIsOpen', 'false')")
            for name, path in PICTURES.items():
                page = desk.open(path.format(receipt=newest))
                page.wait_for_timeout(600)
                page.screenshot(path=IMAGES / f"{name}.png")
        readers(site, chain)
        site.kill()
    shutil.rmtree(folder)


def readers(site: Site, chain: LocalChain) -> None:
    """What a person sees who pays."""
    wallet = Wallet(Account.create(), chain)
    chain.mint(wallet.account.address, 5_000_000)
    with browser.browser() as started:
        person = Reader(started, site.url, wallet, viewport={"width": 900, "height": 860})
        person.open("/articles/slow-money/")
        person.page.wait_for_timeout(600)
        person.page.screenshot(path=IMAGES / "reader-402.png")
        person.pay()
        expect(person.page.locator("[data-paywall-receipt]")).to_be_visible()
        person.page.screenshot(path=IMAGES / "reader-paid.png")
        person.close()
        phone = Reader(started, site.url, phone=True)
        phone.open("/articles/slow-money/")
        phone.pay("transfer")
        expect(phone.page.locator(".paywall-qr svg")).to_be_visible()
        phone.way("transfer").scroll_into_view_if_needed()
        phone.page.screenshot(path=IMAGES / "reader-transfer.png")
        phone.close()
    with payment_sheet() as sheet:
        sheet.open(site.url.replace("127.0.0.1", "localhost") + "/articles/slow-money/")
        button = "document.querySelector('[data-paywall-way=handler]:not([hidden]) button')"
        sheet.page.wait(f"!!{button}")
        sheet.page.run(f"{button}.click()")
        window = sheet.window().ready()
        window.fill("input[type=password]", "correct horse battery")
        window.click("create_passphrase")
        chain.mint(window.address(), 2_000_000)
        window.wait("document.querySelector('[data-wallet-balance]').innerText === '2 USDC'")
        (IMAGES / "reader-handler.png").write_bytes(window.picture())


if __name__ == "__main__":
    main()
