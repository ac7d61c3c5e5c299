"""Prices at the desk: changed where the eye is, in bulk, from a file; and each change is logged."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

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


def test_prices_and_what_else_changes_money_are_logged(owner, item):
    url = reverse("admin:paywall_resource_change", args=[item.pk])
    assert owner.post(url, form(item, policy="before")).status_code == 302
    owner.post(price_url(item), {"amount": "0.02", "currency": "USD"})
    assert {"policy: after → before", "Price: 0.01 USD → 0.02 USD"} <= set(log())


def test_a_passs_duration_is_typed_in_days(owner, item):
    url = reverse("admin:paywall_resource_change", args=[item.pk])
    days = {"access": "period", "pass_seconds_0": "30", "pass_seconds_1": "86400"}
    assert owner.post(url, form(item, **days)).status_code == 302
    item.refresh_from_db()
    assert item.pass_seconds == 30 * 86_400
    page = owner.get(url).content.decode()
    assert 'name="pass_seconds_0" value="30"' in page
    assert '<option value="86400" selected>days' in page
    too_long = owner.post(url, form(item, **{**days, "pass_seconds_0": "100000"}))
    assert "less than or equal to" in too_long.content.decode()


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


# ------------------------------------------------------- One form for price, time, audience


FREE = {"what": "free", "currency": "USD", "free_uses": "3"}


def asked(owner, item, **typed):
    return owner.post(price_url(item), {"amount": "1", "currency": "USD", **typed}, follow=True)


def test_three_free_a_day_take_one_form(owner, item):
    owner.post(price_url(item), {**FREE, "free_per": "address", "free_every": "day"})
    price = Price.objects.latest("pk")
    assert (price.free_uses, price.free_per) == (3, "address")
    assert (price.audience.kind, price.audience.name) == ("everyone", "Everyone")
    assert [Client().get("/item/").status_code for _ in range(4)] == [200, 200, 200, 402]


def test_what_a_wallet_must_have_for_them(owner, item):
    owner.post(price_url(item), {**FREE, "free_per": "wallet", "free_balance": "5"})
    assert Price.objects.latest("pk").free_balance == 5
    owner.post(price_url(item), {**FREE, "free_per": "address", "free_balance": "5"})
    assert Price.objects.latest("pk").free_balance is None, "it is asked of wallets alone"
    assert "3 free for each network address range" in log()[-1]


def test_what_it_costs_is_not_asked_then(owner, item):
    owner.post(price_url(item), {**FREE, "amount": "0.01", "currency": "EUR"})
    assert Price.objects.latest("pk").free_uses == 3


def test_a_second_one_is_for_the_same_audience(owner, item, make_resource):
    owner.post(price_url(item), FREE)
    owner.post(price_url(make_resource("other")), FREE)
    assert Audience.objects.count() == 1


def test_signed_in_readers_pay_less(owner, item):
    asked(owner, item, who="signed_in", amount="0.005")
    price = Price.objects.latest("pk")
    assert (price.audience.kind, price.amount) == ("signed_in", Decimal("0.005"))
    page = owner.get(price_url(item)).content.decode()
    assert "Signed-in readers: 0.005 USD" in page
    assert f'value="audience:{price.audience_id}"' in page, "it is chosen the next time"
    assert 'value="signed_in"' not in page


def test_who_has_a_price_and_gets_a_quota_has_the_quota_alone(owner, item):
    asked(owner, item, who="signed_in", amount="0.005")
    audience = Price.objects.latest("pk").audience_id
    page = owner.post(price_url(item), {**FREE, "who": f"audience:{audience}"}, follow=True)
    assert "For Signed-in readers this takes the place of: 0.005 USD." in page.content.decode()
    page = owner.post(price_url(item), {**FREE, "who": f"audience:{audience}"}, follow=True)
    assert "takes the place of" not in page.content.decode()


def test_members_of_a_group(owner, item):
    group = Group.objects.create(name="Friends")
    asked(owner, item, who=f"group:{group.pk}", amount="0.002")
    audience = Price.objects.latest("pk").audience
    assert (audience.group, audience.name) == (group, "Members of Friends")


def test_bots_that_prove_to_be_it(owner, item, paywall_settings):
    page = owner.get(price_url(item)).content.decode()
    assert 'value="bots:' not in page, "nobody could prove it"
    paywall_settings(WEB_BOT_AUTH="verify")
    page = owner.get(price_url(item)).content.decode()
    assert "crawlers for artificial intelligence that prove to be it" in page
    asked(owner, item, who="bots:train", amount="0.05")
    audience = Price.objects.latest("pk").audience
    assert (audience.kind, audience.bots) == ("bots", "train")
    assert 'value="bots:train"' not in owner.get(price_url(item)).content.decode()


def test_a_coupon_until_may(owner, item):
    ends = timezone.localtime() + timedelta(days=30)
    said = {"who": "coupon", "coupon": "SPRING26", "coupon_ends": f"{ends:%Y-%m-%dT%H:%M}"}
    asked(owner, item, **said, amount="0.005", coupon_uses="100")
    audience = Price.objects.latest("pk").audience
    assert (audience.coupon, audience.coupon_uses) == ("SPRING26", 100)
    assert audience.ends_at is not None
    assert abs(audience.ends_at - ends) < timedelta(minutes=1)
    told = asked(owner, item, **said).content.decode()
    assert "There is such a coupon already" in told
    assert Audience.objects.count() == 1


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"amount": ""}, "What shall it cost?"),
        ({"what": "free", "free_uses": ""}, "How many are free?"),
        ({"who": "coupon"}, "Which word do buyers bring?"),
        ({"who": "coupon", "coupon": "X", "coupon_ends": "2020-01-01T00:00"}, "That is past."),
        ({"who": "audience:99"}, "Select a valid choice"),
    ],
)
def test_what_is_missing_is_said_and_nothing_is_made(owner, item, typed, said):
    assert said in asked(owner, item, **typed).content.decode()
    assert item.prices.count() == 1
    assert not Audience.objects.exists()


def test_a_slip_of_a_zero_is_asked_about_once(owner, item):
    told = asked(owner, item, amount="1000").content.decode()
    assert "100,000 times as much" in told
    assert item.current_price().amount == Decimal("0.01")
    asked(owner, item, amount="1000", meant="1000")
    assert item.current_price().amount == Decimal(1000)
    assert "10,000th of it" in asked(owner, item, amount="0.1").content.decode()


def test_it_says_when_monday_is(owner, item):
    monday = timezone.localtime() + timedelta(days=7 - timezone.localtime().weekday())
    page = asked(owner, item, amount="0.02", valid_from=f"{monday:%Y-%m-%dT08:00}")
    told = page.content.decode()
    assert "will cost 0.02 USD, from Monday" in told
    listed = owner.get("/admin/paywall/resource/").content.decode()
    assert f"from {date_format(monday, 'SHORT_DATE_FORMAT')} 8 a.m.: 0.02 USD" in listed


def test_who_may_not_add_audiences_chooses_among_them(client, item):
    editor = User.objects.create_user("editor", is_staff=True)
    permissions = ("view_resource", "change_resource", "add_price")
    editor.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(editor)
    page = client.get(price_url(item)).content.decode()
    assert 'value="signed_in"' not in page
    assert 'value="coupon"' not in page
    assert "Select a valid choice" in asked(client, item, who="signed_in").content.decode()
