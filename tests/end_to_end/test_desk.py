"""The desk as a new owner meets it: in a real browser, under a strict policy, with much trade."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

import pytest

from .browser import Desk, browser
from .conftest import Site, demo_site

PAYMENTS = "4000"


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture
def empty(make_site):
    return make_site().start()


@pytest.fixture(scope="module")
def busy(chain, facilitator_url, seed, tmp_path_factory) -> Iterator[Site]:
    """A site with some trade behind it, for all tests here: none depends on another's doing."""
    site = demo_site(tmp_path_factory.mktemp("desk"), chain, facilitator_url)
    seed(site)
    site.manage("paywall_fake", "--payments", PAYMENTS, "--resources", "120")
    yield site.start()
    site.kill()


def test_a_new_owner_is_greeted(chrome, empty):
    desk = Desk(chrome, empty.url).sign_in()
    page = desk.open("/dashboard/", "dashboard-empty")
    assert page.locator(".desk-steps li").count() == 6
    assert desk.violations() == []
    desk.open("/admin/paywall/dashboard/")
    assert desk.violations() == []
    assert desk.complaints == []


PAGES = {
    "dashboard": "/admin/paywall/dashboard/?period=365",
    "dashboard-alone": "/dashboard/?period=30",
    "dashboard-today": "/dashboard/?period=today",
    "receipts": "/dashboard/receipts/",
    "receipts-filtered": "/dashboard/receipts/?state=confirmed&policy=after",
    "exports": "/dashboard/exports/",
    "resources": "/admin/paywall/resource/",
    "tester": "/admin/paywall/resource/tester/?url=/archive/2019/5/&method=GET",
    "import": "/admin/paywall/resource/import/",
    "accounts": "/admin/paywall/account/",
    "payments": "/admin/paywall/payment/",
    "admin": "/admin/",
    "article": "/admin/magazine/article/1/change/",
    "purchases": "/paywall/purchases/",
}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True},
}


def test_every_page_opens_for_everybody_and_needs_nothing_from_elsewhere(chrome, busy):
    """Light, dark and narrow; no serious finding of axe-core, no complaint of the browser, no
    request to another host, nothing that the policy had to stop."""
    found: list[str] = []
    for look, options in LOOKS.items():
        desk = Desk(chrome, busy.url, **options).sign_in()
        asked: list[str] = []
        desk.page.on("request", functools.partial(_note, asked))
        first = busy.shell(
            "from paywall.models import Receipt, Resource;"
            "print(Receipt.objects.latest('pk').pk, Resource.objects.get(slug='archive').pk)"
        ).split()
        pages = {
            **PAGES,
            "receipt": f"/dashboard/receipts/{first[0]}/",
            "resource": f"/admin/paywall/resource/{first[1]}/change/",
        }
        for name, path in pages.items():
            page = desk.open(path, f"{name}-{look}")
            assert page.title(), path
            # Django's own pages have findings of their own: those of ours are what counts.
            in_admin = path.startswith("/admin/")
            found += [
                f"{look} {name}: {what}"
                for what in desk.violations()
                if not in_admin or _is_ours(what)
            ]
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if name.startswith(("dashboard", "receipt", "exports", "purchases")):
                assert wide <= 1, f"{look} {name} is {wide} pixels too wide"
        assert "\n".join(desk.complaints) == "", look
        assert {url.split("/")[2] for url in asked if url.startswith("http")} == {
            busy.url.split("/")[2]
        }
    assert found == []


def _note(asked: list[str], request: Any) -> None:
    asked.append(request.url)


def _is_ours(what: str) -> bool:
    return "desk-" in what or "paywall-" in what or "data-dialog" in what


def test_charts_are_drawn_and_have_their_tables(chrome, busy):
    desk = Desk(chrome, busy.url).sign_in()
    page = desk.open("/dashboard/?period=365")
    drawn = page.evaluate(
        """() => [...document.querySelectorAll('canvas[data-chart]')].map((canvas) =>
            new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width,
                canvas.height).data.buffer).some((pixel) => pixel !== 0))"""
    )
    assert drawn == [True] * 5
    summary = page.locator("#desk-h-revenue ~ details summary")
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("#desk-h-revenue ~ details table").is_visible()
    assert desk.complaints == []


def test_receipts_come_in_without_reloading(chrome, busy):
    desk = Desk(chrome, busy.url).sign_in()
    page = desk.open("/dashboard/receipts/")
    page.evaluate("window.notReloaded = true")
    page.evaluate("document.activeElement.blur()")
    before = page.locator("tbody tr").first.inner_text()
    busy.shell(
        "from django.utils import timezone; from paywall import ledger;"
        "from paywall.models import Receipt; r = Receipt.objects.order_by('issued_at').first();"
        "r.issued_at = timezone.now(); r.save(); ledger.note(r.payment, 'note', text='look')"
    )
    page.wait_for_function(
        "before => document.querySelector('tbody tr').innerText !== before",
        arg=before,
        timeout=30_000,
    )
    assert page.evaluate("window.notReloaded") is True


def test_a_price_is_changed_where_the_eye_is(chrome, busy):
    desk = Desk(chrome, busy.url).sign_in()
    page = desk.open("/admin/paywall/resource/?q=archive")
    page.click("a[data-dialog]")
    dialog = page.locator("dialog[open]")
    dialog.wait_for()
    desk.take("price-dialog")
    assert [what for what in desk.violations() if _is_ours(what)] == []
    dialog.locator("[name=amount]").fill("0.03")
    dialog.locator("[type=submit]").click()
    page.wait_for_selector("text=If you mean it, save once more")
    page.locator(".paywall-price-form [type=submit]").click()
    page.wait_for_selector("text=costs 0.03 USD now")
    assert "0.03 USD" in page.locator("a[data-dialog]").first.inner_text()
    assert desk.complaints == []


def test_a_whole_export_with_its_progress(chrome, busy):
    desk = Desk(chrome, busy.url).sign_in()
    page = desk.open("/dashboard/exports/")
    with page.expect_download() as started:
        page.locator("button", has_text="CSV").first.click()
    _, *rows, last = started.value.path().read_text("utf-8-sig").splitlines()
    assert last == f"# {len(rows)} rows"
    page.wait_for_selector("text=finished")
    shown = page.locator("#desk-live").inner_text()
    assert re.search(rf"{len(rows):,} of {len(rows):,} rows", shown), shown


def test_the_tester_frames_what_a_person_gets(chrome, busy):
    desk = Desk(chrome, busy.url).sign_in()
    page = desk.open("/admin/paywall/resource/tester/?url=/archive/2019/5/&method=GET", "tester")
    frame = page.frame_locator("iframe")
    assert frame.locator("h1").inner_text() == "The archive"
    assert desk.complaints == []


def test_the_buyers_receipt_prints_on_a_page(chrome, busy):
    receipt = busy.shell(
        "from paywall.models import Receipt; print(Receipt.objects.latest('pk').public_id)"
    )
    desk = Desk(chrome, busy.url, locale="de-DE")
    page = desk.open(f"/paywall/receipts/{receipt}/", "receipt-public")
    assert page.locator("text=Beleg").count()
    assert desk.violations() == []
    assert desk.complaints == []
    pdf = page.pdf()
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") == 1
