"""Prices at the desk: changed where the eye is, in bulk, from a file; and each change is logged."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from paywall.catalog import pricing
from paywall.models import Audience, Price, Resource, attach_prices
from paywall.reports import rollups
from site_demo.magazine.models import Article

pytestmark = pytest.mark.django_db

LIST = "/admin/paywall/resource/"


def log() -> list[str]:
    return list(LogEntry.objects.order_by("pk").values_list("change_message", flat=True))


def amounts(resource: Resource) -> list[str]:
    prices = Price.objects.filter(resource=resource, audience=None).order_by("-valid_from", "-pk")
    return [f"{price.amount.normalize():f} {price.currency}" for price in prices]


def chosen(*resources: Resource, **more: str) -> dict[str, object]:
    return {"_selected_action": [str(r.pk) for r in resources], **more}


# ------------------------------------------------------------------------------ The list


def test_the_list_shows_price_and_sales(owner, item, sold):
    sold("one")
    sold("two")
    rollups.rebuild()
    page = owner.get(LIST).content.decode()
    row = next(row for row in re.findall(r"<tr><td.*?</tr>", page, re.DOTALL) if ">Item<" in row)
    assert "0.01 USD" in row
    assert '<td class="field-sales">2</td>' in row
    assert '<td class="field-revenue">0.02 USD</td>' in row
    assert "data-dialog" in row
    for order in ("2", "5", "-5", "-7"):
        assert owner.get(f"{LIST}?o={order}").status_code == 200


def test_the_list_is_narrowed_by_how_things_are_sold(owner, item, make_resource):
    rule = make_resource("rule", path="/x/**", methods="GET")
    article = Article.objects.create(slug="a", title="An article", author="A", teaser="", body="")
    thing = article.sell("0.10")
    for sold_by, expected in (("path", rule), ("object", thing), ("code", item)):
        found = owner.get(f"{LIST}?sold_by={sold_by}").context["cl"].result_list
        others = {r.pk for r in (rule, thing, item)} - {expected.pk}
        assert expected.pk in {r.pk for r in found}
        assert not others & {r.pk for r in found}
    page = owner.get(LIST).content.decode()
    assert "GET /x/**" in page


# ----------------------------------------------------------------- One price, where it stands


def price_url(resource: Resource) -> str:
    return reverse("admin:paywall_resource_price", args=[resource.pk])


def test_a_price_is_changed_now(owner, item):
    page = owner.get(price_url(item), headers={"X-Requested-With": "fetch"}).content.decode()
    assert "<html" not in page
    assert 'value="0.01"' in page
    response = owner.post(price_url(item), {"amount": "0.05", "currency": "usd"}, follow=True)
    assert "costs 0.05 USD now" in response.content.decode()
    assert amounts(item) == ["0.05 USD", "0.01 USD"]
    assert log() == ["Price: 0.01 USD → 0.05 USD"]


def test_a_price_is_changed_from_a_given_time(owner, item):
    at = timezone.now() + timedelta(days=2)
    data = {"amount": "0.07", "currency": "USD", "valid_from": at.strftime("%Y-%m-%dT%H:%M")}
    response = owner.post(price_url(item), data, follow=True)
    assert "will cost 0.07 USD" in response.content.decode()
    assert str(item.current_price()) == "0.01 USD"
    assert str(item.current_price(at=at)) == "0.07 USD"
    assert log()[0].startswith("Price: 0.01 USD → 0.07 USD from ")
    assert "0.07 USD" in owner.get(price_url(item)).content.decode()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"amount": "0", "currency": "USD"}, "greater than or equal"),
        ({"amount": "x", "currency": "USD"}, "Enter a number"),
        ({"amount": "1", "currency": "EUR"}, "no enabled account in EUR"),
        ({"amount": "0.0000001", "currency": "USD"}, "Finer than the smallest unit"),
        ({"amount": "1", "currency": "USD", "valid_from": "soon"}, "Enter a valid date/time"),
    ],
)
def test_a_price_that_nobody_could_pay_is_refused(owner, item, data, error):
    page = owner.post(price_url(item), data).content.decode()
    assert error in page
    assert amounts(item) == ["0.01 USD"]


# -------------------------------------------------------------------------------- In bulk


def test_prices_are_raised_by_percent_after_a_look(owner, item, make_resource):
    dear = make_resource("dear", price="19.99")
    data = chosen(item, dear, action="raise_price")
    assert "Percent" in owner.post(LIST, data).content.decode()
    data |= {"percent": "15", "places": "2", "step": "preview"}
    page = owner.post(LIST, data).content.decode()
    assert "22.99 USD" in page
    assert amounts(dear) == ["19.99 USD"]
    response = owner.post(LIST, {**data, "step": "apply"}, follow=True)
    assert "1 price changes." in response.content.decode()  # 0.01 stays 0.01 to the cent
    assert amounts(dear)[0] == "22.99 USD"
    assert amounts(item) == ["0.01 USD"]
    assert log() == ["Price: 19.99 USD → 22.99 USD"]


def test_prices_are_set_at_once_or_not_at_all(owner, item, make_resource):
    other = make_resource("other", price="3")
    data = chosen(item, other, action="set_price", amount="0.5", currency="USD", step="apply")
    owner.post(LIST, data)
    assert amounts(item)[0] == amounts(other)[0] == "0.5 USD"
    with pytest.raises(ValidationError):
        pricing.apply(
            [
                pricing.Change(item, None, Decimal(2), "USD"),
                pricing.Change(other, None, Decimal("0.0000001"), "USD"),
            ],
            by=None,
        )
    assert amounts(item)[0] == "0.5 USD"


def test_lowering_to_nothing_is_refused(owner, item):
    data = chosen(item, action="raise_price", percent="-60", places="2", step="apply")
    page = owner.post(LIST, data).content.decode()
    assert "more than zero" in page
    assert amounts(item) == ["0.01 USD"]


def test_switching_off_and_on_is_logged(owner, item):
    owner.post(LIST, chosen(item, action="deactivate"))
    item.refresh_from_db()
    assert item.active is False
    owner.post(LIST, chosen(item, action="activate"))
    assert log() == ["active: True → False", "active: False → True"]


def test_a_duplicate_is_not_sold_before_somebody_says_so(owner, make_resource):
    rule = make_resource("rule", path="/x/**", price="2")
    for _ in range(2):
        owner.post(LIST, chosen(rule, action="duplicate"))
    twins = list(Resource.objects.filter(slug__startswith="rule-copy").order_by("pk"))
    assert [(t.slug, t.active, t.path) for t in twins] == [
        ("rule-copy", False, ""),
        ("rule-copy-2", False, ""),
    ]
    assert all(str(twin.current_price()) == "2.00 USD" for twin in twins)


# --------------------------------------------------------------------------- The form


def form(resource: Resource, *prices: dict[str, object], **changes: object) -> dict[str, object]:
    data: dict[str, object] = {
        **{name: getattr(resource, name) for name in ("title", "slug", "policy", "access")},
        "description": "",
        "mime_type": "text/html",
        "active": "on",
        "path": resource.path,
        "prices-TOTAL_FORMS": len(prices),
        "prices-INITIAL_FORMS": 0,
        **changes,
    }
    now = timezone.now()
    for number, price in enumerate(prices):
        price = {"valid_from_0": f"{now:%Y-%m-%d}", "valid_from_1": f"{now:%H:%M:%S}", **price}
        data |= {f"prices-{number}-{name}": value for name, value in price.items()}
    return data


def test_the_form_logs_prices_and_what_else_changes_money(owner, item):
    url = reverse("admin:paywall_resource_change", args=[item.pk])
    data = form(item, {"amount": "0.02", "currency": "USD"}, policy="before")
    assert owner.post(url, data).status_code == 302
    assert {"policy: after → before", "Price: 0.01 USD → 0.02 USD"} <= set(log())
    page = owner.get(url).content.decode()
    assert "superseded" in page


def test_a_free_quota_is_made_in_the_form(owner, item):
    audience = Audience.objects.create(name="All", kind="everyone")
    url = reverse("admin:paywall_resource_change", args=[item.pk])
    quota = {
        "amount": "0",
        "currency": "USD",
        "audience": audience.pk,
        "free_uses": "3",
        "free_per": "address",
        "free_every": "day",
    }
    assert owner.post(url, form(item, quota)).status_code == 302
    assert "3 free for each network address range" in log()[-1]
    bad = {"amount": "0", "currency": "USD"}
    page = owner.post(url, form(item, bad)).content.decode()
    assert "A price is more than zero; or zero for an audience" in page


def test_an_audience_is_logged_with_before_and_after(owner, db):
    audience = Audience.objects.create(name="Summer", kind="coupon", coupon="OLD")
    data = {"name": "Summer", "kind": "coupon", "coupon": "NEW", "active": "on"}
    owner.post(reverse("admin:paywall_audience_change", args=[audience.pk]), data)
    assert "coupon: OLD → NEW" in log()


def test_a_rule_cannot_stand_there_twice_in_two_spellings(owner, item, make_resource):
    make_resource("rule", path="/x/**", methods="GET, POST")
    url = reverse("admin:paywall_resource_change", args=[item.pk])
    page = owner.post(url, form(item, path="/x/**", methods="POST,GET")).content.decode()
    assert "Another resource has this path rule." in page


def test_a_path_that_another_resource_has_is_refused(owner, item, make_resource):
    make_resource("rule", path="/x/**")
    url = reverse("admin:paywall_resource_change", args=[item.pk])
    page = owner.post(url, form(item, path="/x/**")).content.decode()
    assert "Another resource has this path rule." in page


# ------------------------------------------------------------------------------- By file

HEADER = "slug,title,policy,access,active,price,currency\n"


def imports(client, text: str):
    file = SimpleUploadedFile("prices.csv", text.encode(), content_type="text/csv")
    return client.post(f"{LIST}import/", {"import_file": file, "format": "0"})


def confirms(client, response):
    data = response.context["confirm_form"].initial
    return client.post(f"{LIST}process_import/", data, follow=True)


def test_resources_come_in_by_csv_after_a_dry_run(owner, item):
    text = HEADER + "item,Item,after,request,1,0.03,USD\nnew,A new one,before,forever,1,2.50,\n"
    dry = imports(owner, text)
    assert "A new one" in dry.content.decode()
    assert amounts(item) == ["0.01 USD"]
    assert not Resource.objects.filter(slug="new").exists()
    response = confirms(owner, dry)
    assert response.status_code == 200
    assert amounts(item) == ["0.03 USD", "0.01 USD"]
    new = Resource.objects.get(slug="new")
    assert (str(new.current_price()), new.access) == ("2.50 USD", "forever")
    assert "Price: 0.01 USD → 0.03 USD" in log()


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ("item,Item,after,request,1,free,USD", "not an amount"),
        ("item,Item,after,request,1,-1,USD", "not an amount"),
        ("item,Item,after,request,1,1,EUR", "no enabled account in EUR"),
        ("item,Item,sometimes,request,1,1,USD", "not a valid choice"),
        ("item,Item,after,period,1,1,USD", "needs its duration"),
    ],
)
def test_a_row_that_is_wrong_is_named_and_nothing_comes_in(owner, item, row, error):
    response = imports(owner, f"{HEADER}{row}\nother,Other,after,request,1,1,USD\n")
    page = response.content.decode()
    assert error in page
    assert response.context.get("confirm_form") is None
    assert not Resource.objects.filter(slug="other").exists()


def test_resources_go_out_as_csv_and_come_in_again(owner, item, make_resource):
    make_resource("rule", path="/x/**", methods="GET", price="2")
    content = owner.get(f"{LIST}export/").content.decode("utf-8-sig")
    assert content.splitlines()[0].split(",")[0] == "slug"
    assert "rule,Rule,,application/json,after,request,,1,/x/**,GET,2.00,USD" in content
    before = Resource.objects.count()
    confirms(owner, imports(owner, content))
    assert amounts(item) == ["0.01 USD"]
    assert Resource.objects.count() == before


def test_price_editors_import_and_auditors_do_not(staff, item):
    assert staff("Paywall price editors").get(f"{LIST}import/").status_code == 200
    assert staff("Paywall auditors", name="auditor").get(f"{LIST}import/").status_code == 403


# ----------------------------------------------------------------------- Objects for sale


@pytest.fixture
def article(account):
    return Article.objects.create(slug="bread", title="Bread", author="A", teaser="", body="x")


def inline(article: Article, amount: str, resource: Resource | None = None) -> dict[str, object]:
    prefix = "paywall-resource-content_type-object_id"
    return {
        "slug": article.slug,
        "title": article.title,
        "author": "A",
        "teaser": "t",
        "body": "b",
        "published_at_0": "2026-01-01",
        "published_at_1": "00:00:00",
        f"{prefix}-TOTAL_FORMS": 1,
        f"{prefix}-INITIAL_FORMS": 1 if resource else 0,
        f"{prefix}-0-amount": amount,
        f"{prefix}-0-currency": "USD",
        f"{prefix}-0-policy": "after",
        f"{prefix}-0-access": "forever",
        f"{prefix}-0-active": "on",
        f"{prefix}-0-description": "",
        f"{prefix}-0-id": resource.pk if resource else "",
    }


def test_an_article_is_sold_from_its_own_page(owner, article):
    url = reverse("admin:magazine_article_change", args=[article.pk])
    assert "How it is sold" in owner.get(url).content.decode()
    assert owner.post(url, inline(article, "0.10")).status_code == 302
    resource = article.paywall_resource
    assert (resource.title, resource.slug) == ("Bread", f"article-{article.pk}")
    assert str(resource.current_price()) == "0.10 USD"
    assert owner.post(url, inline(article, "0.10", resource)).status_code == 302
    data = inline(article, "0.25", resource)
    data["paywall-resource-content_type-object_id-0-policy"] = "before"
    assert owner.post(url, data).status_code == 302
    assert "policy: after → before" in log()
    assert amounts(resource) == ["0.25 USD", "0.1 USD"]
    assert "Price: 0.10 USD → 0.25 USD" in log()
    page = owner.post(url, inline(article, "0.0000001", resource)).content.decode()
    assert "Finer than the smallest unit" in page


def test_lists_of_objects_take_as_many_queries_for_any_number(account, django_assert_num_queries):
    for number in range(12):
        article = Article.objects.create(slug=f"a{number}", title="T", author="A", body="b")
        article.sell("0.10")
    with django_assert_num_queries(3):
        articles = Article.objects.prefetch_related("paywall_resources")
        resources = [article.paywall_resource for article in articles]
        attach_prices(resources)
        assert [str(resource.price_now) for resource in resources] == ["0.10 USD"] * 12


def test_an_object_without_a_price_is_not_given_away(article, client):
    assert client.get("/articles/bread/").status_code == 503
    article.sell("0.10")
    assert client.get("/articles/bread/").status_code == 402


# ---------------------------------------------------------------------------- The tester


def look_up(client, url: str, **more: str):
    response = client.get(f"{LIST}tester/", {"url": url, "method": "GET", **more})
    assert response.status_code == 200
    return response


def test_the_tester_says_which_rule_and_shows_both_answers(owner, make_resource):
    wide = make_resource("wide", path="/free/**", price="1")
    close = make_resource("close", path="/free/sync/", price="2", description="A teaser.")
    response = look_up(owner, "http://testserver/free/sync/?page=2")
    found = response.context["found"]
    assert found.resource == close
    assert found.other_rules == [wide]
    assert found.status == 402
    assert json.loads(found.body)["accepts"][0]["maxAmountRequired"] == "2000000"
    assert json.loads(found.required)["accepts"][0]["amount"] == "2000000"
    page = response.content.decode()
    assert "What a program gets" in page
    person = owner.get(re.search(r'<iframe src="([^"]+)"', page)[1].replace("&amp;", "&"))
    assert "A teaser." in person.content.decode()
    assert person.headers["X-Frame-Options"] == "SAMEORIGIN"


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        ("/free/sync/", "No rule: this URL is free."),
        ("/admin/", "never sold"),
        ("/nowhere/", "it answers 404"),
        ("item/", "A decorator in code sells this URL."),
        ("/by-object/absent/", "A decorator in code sells this URL."),
    ],
)
def test_what_else_the_tester_says(owner, item, url, verdict):
    assert verdict in look_up(owner, url).content.decode()


def test_the_tester_warns_where_a_rule_does_nothing(owner, make_resource, settings):
    settings.MIDDLEWARE = [m for m in settings.MIDDLEWARE if "paywall" not in m]
    make_resource("wide", path="/free/**")
    assert "PaywallMiddleware is not installed" in look_up(owner, "/free/sync/").content.decode()


def test_the_tester_shows_what_a_member_pays(owner, item):
    members = Audience.objects.create(name="Members", kind="signed_in")
    Price.objects.create(resource=item, amount="0.004", audience=members)
    assert "0.004 USD" in look_up(owner, "/item/", as_me="on").content.decode()
    assert "0.004 USD" not in look_up(owner, "/item/").content.decode()


def test_the_tester_says_why_a_url_answers_503(owner, make_resource):
    resource = make_resource("wide", path="/free/**")
    Resource.objects.update(active=False)
    assert "is not active" in look_up(owner, "/free/sync/").content.decode()
    assert resource.pk
