"""Pages of a real Wagtail site, sold."""

from __future__ import annotations

import io
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.test import Client
from openpyxl import load_workbook
from wagtail.models import Page, PageViewRestriction

from paywall.contrib.wagtail import checks, selling
from paywall.contrib.wagtail.models import AS_BUYER, AS_PAYER, PaidPageMixin
from paywall.contrib.wagtail.report import add_sales
from paywall.models import Payment, Price, Resource
from paywall.reports import rollups
from paywall.testing import challenge_of
from tests.wagtail_site.pages.models import ArticlePage, ReportPage

from .conftest import BODY, editor

pytestmark = pytest.mark.django_db

PERSON = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
PRICED = {"paywall_price": Decimal("0.25")}


def resources():
    """Those of pages: what other tests' code declares is none of these."""
    return Resource.objects.filter(content_type__isnull=False)


def prices():
    return Price.objects.filter(resource__in=resources())


def buys(client: Client, buyer, path: str = "/article/"):
    return client.get(path, headers=buyer.pays(client.get(path)))


# ------------------------------------------------------------------------------ Sold


def test_without_a_price_it_is_free(make_page, facilitator):
    make_page()
    page = Client().get("/article/")
    assert page.status_code == 200
    assert "THE SECRET END" in page.content.decode()
    assert not resources().exists()


def test_with_one_it_is_sold(make_page, facilitator, buyer):
    make_page(**PRICED)
    client = Client()
    unpaid = client.get("/article/")
    assert unpaid.status_code == 402
    assert challenge_of(unpaid)["accepts"][0]["amount"] == "250000"
    assert "SECRET" not in unpaid.content.decode()
    paid = buys(client, buyer)
    assert paid.status_code == 200
    assert "THE SECRET END" in paid.content.decode()
    assert client.get("/article/").status_code == 200  # for good
    assert Client().get("/article/").status_code == 402
    payment = Payment.objects.get()
    assert (payment.price, payment.resource.title) == (Decimal("0.25"), "Article")


def test_a_person_sees_what_stands_above_the_break(make_page, facilitator):
    make_page(**PRICED)
    page = Client().get("/article/", headers=PERSON)
    assert page.status_code == 402
    text = page.content.decode()
    assert "<p>The beginning.</p>" in text
    assert "SECRET" not in text
    assert "$0.25" in text


def test_without_a_break_a_person_sees_the_description(make_page, facilitator):
    make_page(**PRICED, body=[("text", "<p>SECRET</p>")], search_description="What <it> is about")
    text = Client().get("/article/", headers=PERSON).content.decode()
    assert "What &lt;it&gt; is about" in text
    assert "SECRET" not in text


def test_head_tells_the_price(make_page, facilitator):
    make_page(**PRICED)
    assert Client().head("/article/").status_code == 402


def test_pages_that_are_private_are_asked_to_sign_in_first(make_page, facilitator):
    page = make_page(**PRICED)
    PageViewRestriction.objects.create(page=page, restriction_type=PageViewRestriction.LOGIN)
    response = Client().get("/article/")
    assert response.status_code == 302
    assert "login" in response.url


def test_the_routes_of_a_routable_page_are_sold_too(make_page, facilitator, buyer):
    make_page(ReportPage, **PRICED)
    client = Client()
    assert client.get("/article/chapter/2/").status_code == 402
    assert buys(client, buyer, "/article/chapter/2/").content == b"chapter 2"
    assert client.get("/article/").content == b"the whole report"


# ----------------------------------------------------------------------- As it is edited


def publish(page, **fields):
    for name, value in fields.items():
        setattr(page, name, value)
    page.save_revision(user=editor()).publish()
    return type(page).objects.get(pk=page.pk)


def test_a_draft_changes_nothing_before_it_is_published(make_page, facilitator):
    page = make_page(**PRICED)
    page.paywall_price = Decimal(9)
    revision = page.save_revision()
    assert challenge_of(Client().get("/article/"))["accepts"][0]["amount"] == "250000"
    revision.publish()
    assert challenge_of(Client().get("/article/"))["accepts"][0]["amount"] == "9000000"
    assert prices().count() == 2
    publish(ArticlePage.objects.get(), title="Another title")
    assert prices().count() == 2  # it is the same
    assert resources().get().title == "Another title"


def test_a_changed_price_stands_in_the_log_with_its_editor(make_page, facilitator):
    page = make_page(**PRICED)
    publish(page, paywall_price=Decimal(1))
    entry = LogEntry.objects.filter(change_message__startswith="Price:").first()
    assert entry.user.username == "editor"


def test_a_page_whose_price_is_taken_away_is_free(make_page, facilitator):
    page = make_page(**PRICED)
    publish(page, paywall_price=None)
    assert Client().get("/article/").status_code == 200
    publish(ArticlePage.objects.get(), paywall_price=Decimal(1))
    assert challenge_of(Client().get("/article/"))["accepts"][0]["amount"] == "1000000"


def test_what_is_switched_off_in_the_admin_is_closed_and_not_free(make_page, facilitator):
    make_page(**PRICED)
    Resource.objects.update(active=False)
    response = Client().get("/article/")
    assert response.status_code == 503
    assert "SECRET" not in response.content.decode()


def test_a_price_that_cannot_be_taken_over_gives_nothing_away(
    make_page, facilitator, caplog, monkeypatch
):
    def refuses(*_):
        raise ValidationError("It cannot be sold so.")

    monkeypatch.setattr(selling, "_take_over", refuses)
    make_page(**PRICED)
    assert "cannot be taken over" in caplog.text
    response = Client().get("/article/")
    assert response.status_code == 503
    assert "SECRET" not in response.content.decode()


def test_a_copy_is_sold_for_itself(make_page, facilitator, home):
    page = make_page(**PRICED)
    page.copy(update_attrs={"slug": "copy", "title": "Copy"}, user=None)
    response = Client().get("/copy/")
    assert response.status_code in (402, 503)
    assert "SECRET" not in response.content.decode()
    assert Resource.objects.filter(title="Article").count() == 1


def test_a_pass_for_some_days(make_page, facilitator):
    make_page(**PRICED, paywall_access="period", paywall_days=3)
    assert resources().get().pass_seconds == 3 * 86_400


def test_the_editor_asks_for_the_days(admin, make_page, facilitator):
    page = make_page()
    form = {
        "title": "Article",
        "slug": "article",
        "paywall_price": "1",
        "paywall_currency": "USD",
        "paywall_access": "period",
        "paywall_days": "",
        "body-count": "0",
        "action-publish": "action-publish",
    }
    shown = admin.post(f"/admin/pages/{page.pk}/edit/", form)
    assert "For how many days?" in shown.content.decode()
    assert not resources().exists()
    assert (
        admin.post(f"/admin/pages/{page.pk}/edit/", {**form, "paywall_days": "2"}).status_code
        == 302
    )
    assert resources().get().pass_seconds == 2 * 86_400


def test_code_can_sell_a_page(make_page, facilitator):
    page = make_page()
    page.sell("2", access="forever")
    assert ArticlePage.objects.get().paywall_price == 2
    Resource.objects.update(active=False)
    assert Client().get("/article/").status_code == 503


# ----------------------------------------------------------------------------- Preview


def preview(page, mode: str):
    return page.make_preview_request(preview_mode=mode)


def test_a_preview_as_who_has_not_paid(make_page, facilitator):
    page = make_page(**PRICED)
    page.body = [("text", "<p>A new beginning.</p>"), ("paywall", None), ("text", "<p>SECRET</p>")]
    shown = preview(page, AS_BUYER)
    text = shown.content.decode()
    assert shown.status_code == 200
    assert "A new beginning." in text
    assert "SECRET" not in text
    assert "$0.25" in text


def test_a_preview_as_who_has_paid(make_page, facilitator):
    page = make_page(**PRICED)
    for mode in (AS_PAYER, ""):
        assert "THE SECRET END" in preview(page, mode).content.decode()


def test_a_preview_of_a_price_that_is_not_published(make_page):
    page = make_page()
    assert "This page is free" in preview(page, AS_BUYER).content.decode()
    page.paywall_price = Decimal("0.5")
    shown = preview(page, AS_BUYER).content.decode()
    assert "Here readers pay 0.50 USD" in shown
    assert "SECRET" not in shown


def test_the_editor_offers_both(admin, make_page):
    page = make_page()
    text = admin.get(f"/admin/pages/{page.pk}/edit/").content.decode()
    assert "As who has not paid" in text
    assert "Paid from here on" in text


# ------------------------------------------------------------------------------ Report


def test_the_report_says_what_each_page_has_sold(admin, make_page, facilitator, buyer):
    make_page(**PRICED)
    client = Client()
    buys(client, buyer)
    rollups.rebuild()
    text = admin.get("/admin/reports/paywall/").content.decode()
    for told in ("Sales of pages", "Article", "0.25 USD"):
        assert told in text
    assert "/admin/reports/paywall/" in admin.get("/admin/reports/site-history/").content.decode()
    sheet = admin.get("/admin/reports/paywall/?export=xlsx")
    book = load_workbook(io.BytesIO(b"".join(sheet.streaming_content)))
    rows = list(book.active.values)
    assert rows[0][:4] == ("Title", "Price", "Sales", "Revenue")
    assert rows[1][:4] == ("Article", "0.25 USD", 1, "0.25 USD")


def test_the_report_asks_as_much_for_any_number_of_pages(
    make_page, facilitator, home, django_assert_max_num_queries
):
    make_page(**PRICED)
    for number in range(10):
        page = ArticlePage(title=f"A {number}", slug=f"a{number}", body=BODY, **PRICED)
        home.add_child(instance=page)
        page.save_revision().publish()
    pages = list(Page.objects.type(ArticlePage))
    with django_assert_max_num_queries(5):
        add_sales(pages)
    assert all(page.paywall_price_now == "0.25 USD" for page in pages)


def test_an_empty_report(admin):
    assert "No page has been sold yet." in admin.get("/admin/reports/paywall/").content.decode()


# -------------------------------------------------------------------- What gives it away


def test_what_was_sold_is_not_deleted(admin, make_page, facilitator, buyer, home):
    page = make_page(**PRICED)
    buys(Client(), buyer)
    for target in (page, home):
        answer = admin.post(f"/admin/pages/{target.pk}/delete/", follow=True)
        assert "cannot be deleted. Unpublish it instead" in answer.content.decode()
    assert ArticlePage.objects.exists()


def test_what_was_never_sold_is(admin, make_page, facilitator):
    page = make_page(**PRICED)
    admin.post(f"/admin/pages/{page.pk}/delete/")
    assert not ArticlePage.objects.exists()


def test_wagtails_api_says_nothing_of_it(make_page, facilitator):
    page = make_page(**PRICED)
    for path in (
        "/api/pages/?type=wagtail_pages.ArticlePage&fields=*",
        f"/api/pages/{page.pk}/?fields=*",
    ):
        assert "SECRET" not in Client().get(path).content.decode()


def test_a_model_whose_api_would_is_refused(monkeypatch):
    assert checks.check_pages() == []
    monkeypatch.setattr(ArticlePage, "api_fields", ["body"])
    assert [one.id for one in checks.check_pages()] == ["paywall.E019"]


def test_a_model_that_is_put_together_wrongly_is_refused(monkeypatch):
    class Before:
        def serve(self, request, view=None, args=None, kwargs=None):
            return view(request)

    class Wrong(Before, PaidPageMixin):
        class Meta:
            app_label = "wagtail_pages"
            abstract = True

    assert [one.id for one in checks._check(Wrong)] == ["paywall.E020"]


def test_a_search_finds_it_by_title_and_shows_no_more(make_page, facilitator):
    make_page(**PRICED)
    found = list(Page.objects.live().search("Article"))
    assert [page.title for page in found] == ["Article"]


def test_the_sites_checks_have_nothing_to_say_and_its_tables_are_migrated():
    call_command("check", fail_level="ERROR")
    apps = ("paywall", "wagtail_pages")
    call_command("makemigrations", *apps, "--check", "--dry-run", verbosity=0)
    assert checks.page_models() == [ArticlePage, ReportPage]
