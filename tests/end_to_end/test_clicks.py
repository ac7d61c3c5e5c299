"""How many clicks an owner's tasks take, from the admin's first page: docs/owners.md says it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from .browser import Desk, browser
from .conftest import ROOT, Site, demo_site

MOST = 5
ADDED, CHANGED = "was added successfully", "was changed successfully"
WALLET = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"


def said() -> dict[str, int]:
    """The table in the docs."""
    text = (ROOT / "docs" / "owners.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \|[^|]*\|$", text, re.MULTILINE)
    return {task: int(clicks) for task, clicks in rows}


class Owner:
    """Somebody with a mouse: what is typed is free, each click and each choice counts."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.page, self.clicks = desk, desk.page, 0

    def click(self, what: str | Locator) -> None:
        found = self.page.locator(what) if isinstance(what, str) else what
        found.first.click()
        self.clicks += 1

    def choose(self, what: str, label: str) -> None:
        self.page.locator(what).select_option(label=label)
        self.clicks += 1

    def go(self, name: str) -> None:
        """By the index's link of that name."""
        self.click(self.page.locator("#content-main").get_by_role("link", name=name, exact=True))

    def dialog(self, slug: str = "forecast") -> Locator:
        """The form for prices, of one of the resources in the list."""
        self.page.locator("#searchbar").fill(slug)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(f"**q={slug}**")
        self.click("#result_list a[data-dialog]")
        opened = self.page.locator("dialog[open]")
        opened.wait_for()
        return opened

    def reads(self, text: str | re.Pattern[str]) -> None:
        expect(self.page.locator("body")).to_contain_text(text)


@pytest.fixture(scope="module")
def busy(chain, facilitator_url, seed, tmp_path_factory) -> Iterator[Site]:
    site = demo_site(tmp_path_factory.mktemp("clicks"), chain, facilitator_url)
    seed(site)
    site.manage("paywall_fake", "--payments", "300", "--resources", "5")
    yield site.start()
    site.kill()


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with browser() as started:
        yield started


def price_an_article(owner: Owner, site: Site) -> None:
    owner.go("Articles")
    owner.click("#result_list tbody th a")
    owner.page.locator("[name$='-0-amount']").fill("0.11")
    owner.click("[name=_save]")
    owner.reads(CHANGED)


def price_from_monday(owner: Owner, site: Site) -> None:
    owner.go("Resources")
    form = owner.dialog()
    form.locator("[name=valid_from]").fill("2031-03-03T08:00")
    owner.click(form.locator("[type=submit]"))
    owner.reads(re.compile("will cost .*, from Monday"))


def members_price(owner: Owner, site: Site) -> None:
    owner.go("Resources")
    form = owner.dialog()
    owner.choose("dialog [name=who]", "signed-in readers")
    form.locator("[name=amount]").fill("0.005")
    owner.click(form.locator("[type=submit]"))
    owner.reads("for Signed-in readers: 0.005 USD, from now on")


def coupon(owner: Owner, site: Site) -> None:
    owner.go("Resources")
    form = owner.dialog()
    owner.choose("dialog [name=who]", "who brings a coupon…")
    form.locator("[name=coupon]").fill("SPRING31")
    form.locator("[name=coupon_ends]").fill("2031-05-01T00:00")
    form.locator("[name=amount]").fill("0.005")
    owner.click(form.locator("[type=submit]"))
    owner.reads("for Coupon SPRING31: 0.005 USD")


def three_free_a_day(owner: Owner, site: Site) -> None:
    owner.go("Resources")
    form = owner.dialog()
    owner.click(form.get_by_label("So many free"))
    owner.click(form.locator("[type=submit]"))
    owner.reads("3 free for each network address range, counted anew every day")


def path_rule(owner: Owner, site: Site) -> None:
    owner.click("tr.model-resource .addlink")
    owner.page.fill("#id_title", "The vault")
    owner.page.fill("#id_slug", "vault")
    owner.page.fill("#id_path", "/vault/**")
    owner.page.fill("#id_prices-0-amount", "0.02")
    owner.click("[name=_save]")
    owner.reads(ADDED)
    assert site.shell(
        "from paywall.models import Resource;"
        "print(Resource.objects.get(path='/vault/**').current_price())"
    ).endswith("0.02 USD")


def _a_receipt(site: Site) -> list[str]:
    return site.shell(
        "from paywall.models import Receipt; from django.utils import timezone;"
        "r = Receipt.objects.filter(payment__state='confirmed', payment__refunded='0').last();"
        "print(r.pk, r.payment.reference, r.payment.payer)"
    ).split()[-3:]


def _find(owner: Owner, site: Site, text: str) -> None:
    owner.go("Receipts")
    owner.page.locator("#content input[type=search]").fill(text)
    owner.page.keyboard.press("Enter")
    owner.page.wait_for_url("**q=**")
    owner.click("table.desk-receipts th a")
    owner.reads(text)


def complaint_by_transaction(owner: Owner, site: Site) -> None:
    _find(owner, site, _a_receipt(site)[1])


def complaint_by_wallet(owner: Owner, site: Site) -> None:
    _find(owner, site, _a_receipt(site)[2])


def refund(owner: Owner, site: Site) -> None:
    _find(owner, site, _a_receipt(site)[1])
    form = owner.page.locator("form", has=owner.page.locator("[name=refund-reason]"))
    form.locator("[name=refund-reason]").fill("it rained")
    sent_in = form.locator("[name=refund-sent_in]")
    if sent_in.count():
        sent_in.fill("0x" + "ab" * 32)
    owner.click(form.locator("[type=submit]"))
    owner.reads(re.compile("refund", re.IGNORECASE))


def resend(owner: Owner, site: Site) -> None:
    _find(owner, site, _a_receipt(site)[1])
    owner.click(owner.page.get_by_role("button", name=re.compile("Send")))
    owner.reads(re.compile("sent|address", re.IGNORECASE))


def export_a_month(owner: Owner, site: Site) -> None:
    owner.go("Dashboard")
    owner.click(owner.page.locator("#content").get_by_role("link", name="Exports"))
    owner.page.locator("[name=month]").wait_for()
    with owner.page.expect_download() as begun:
        owner.click("form:has([name=month]) [value=csv]")
    assert begun.value.suggested_filename.endswith(".csv")


def add_an_account(owner: Owner, site: Site) -> None:
    owner.click("tr.model-account .addlink")
    owner.choose("#id_preset", "USDC on Base")
    owner.page.fill("#id_pay_to", WALLET)
    owner.click("[name=_save]")
    owner.reads(ADDED)


TASKS: dict[str, Callable[[Owner, Site], None]] = {
    "Price an article": price_an_article,
    "A price from Monday on": price_from_monday,
    "A price for members": members_price,
    "A coupon": coupon,
    "Three free a day": three_free_a_day,
    "Sell a part of the site (path rule)": path_rule,
    "Find a complaint by its transaction": complaint_by_transaction,
    "Find a complaint by the wallet": complaint_by_wallet,
    "Refund": refund,
    "Send a receipt again": resend,
    "Export a month": export_a_month,
    "Add an account": add_an_account,
}


@pytest.mark.parametrize("task", TASKS)
def test_it_takes_no_more_clicks_than_the_docs_say(chrome, busy, task):
    desk = Desk(chrome, busy.url).sign_in()
    owner = Owner(desk)
    desk.open("/admin/")
    try:
        TASKS[task](owner, busy)
    finally:
        desk.context.close()
    assert owner.clicks == said()[task] <= MOST
