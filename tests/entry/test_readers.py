"""Metered months, gift links, parts of a page: what is free is counted, the rest is not shown."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection
from django.template import engines
from django.test import Client, RequestFactory
from django.utils import timezone

from paywall import ledger
from paywall.catalog import offers
from paywall.checkout import tickets
from paywall.entry import inline
from paywall.holders import cookies
from paywall.ledger import gifts, meters
from paywall.models import AccessPass, Gift, Meter, MeterCount, MeterRead, Payment
from paywall.testing import challenge_of
from tests.helpers import at_once
from tests.shop.views import CALLS

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parents[2]
PERSON = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
OURS = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}


@pytest.fixture
def metered(make_resource):
    """Four articles of a magazine; two a month are free."""
    meter = Meter.objects.create(name="Articles", uses=2)
    for slug in ("one", "two", "three", "four"):
        make_resource(slug, access="forever", meter=meter)
    return meter


def reads(client: Client, *slugs: str, **headers: str) -> list[int]:
    return [
        client.get(f"/by-object/{slug}/", headers={**PERSON, **headers}).status_code
        for slug in slugs
    ]


# ------------------------------------------------------------------------------- Meters


def test_so_many_a_month_and_the_same_one_counts_once(metered):
    reader = Client()
    assert reads(reader, "one", "one", "two", "one", "three", "one") == [200] * 4 + [402, 200]
    first = reader.get("/by-object/one/", headers=PERSON)
    assert first.headers["Paywall-Free-Remaining"] == "0"
    assert "private" in first.headers["Cache-Control"]
    assert MeterRead.objects.count() == 2


def test_each_browser_has_its_own(metered):
    first, second = Client(), Client()
    assert reads(first, "one", "two", "three") == [200, 200, 402]
    assert reads(second, "three", "four", "one") == [200, 200, 402]


def test_a_new_month_begins_anew(metered):
    reader = Client()
    assert reads(reader, "one", "two", "three") == [200, 200, 402]
    MeterCount.objects.update(month="2026-01")
    assert reads(reader, "three") == [200]
    assert meters.forget_old() >= 1


def test_programs_pay(metered):
    program = Client()
    assert program.get("/by-object/one/").status_code == 402
    assert program.get("/by-object/one/", headers={"Accept": "application/json"}).status_code == 402
    assert MeterCount.objects.count() == 0


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Purpose": "prefetch"}, {"Sec-Fetch-Dest": "iframe"}, {"Payment-Signature": "x"}],
)
def test_what_nobody_reads_costs_nobody_anything(metered, headers):
    assert Client().get("/by-object/one/", headers={**PERSON, **headers}).status_code in (400, 402)
    assert Client().head("/by-object/one/", headers=PERSON).status_code == 402
    assert MeterCount.objects.count() == 0


def test_a_page_that_fails_is_not_counted(make_resource):
    make_resource(access="forever", meter=Meter.objects.create(name="Articles", uses=1))
    reader = Client()
    reader.post("/paywall/begin/")
    assert reader.get("/failing/", headers=PERSON).status_code == 500
    assert MeterRead.objects.count() == 0
    assert set(MeterCount.objects.values_list("used", flat=True)) == {0}
    assert reader.get("/item/", headers=PERSON).status_code == 200


def test_who_throws_the_cookie_away_comes_to_the_networks_limit(metered):
    Meter.objects.update(most_of_network=3)
    offers.forget()
    found = [reads(Client(), "one")[0] for _ in range(6)]
    assert found == [200, 200, 200, 402, 402, 402]
    assert MeterCount.objects.count() == 4, "strangers who get nothing leave nothing"


def test_by_network(metered):
    Meter.objects.update(per="network")
    offers.forget()
    assert reads(Client(), "one") + reads(Client(), "two", "three") == [200, 200, 402]


def test_by_user(metered, django_user_model):
    Meter.objects.update(per="user")
    offers.forget()
    assert reads(Client(), "one") == [402]
    ada = django_user_model.objects.create_user("ada")
    first, second = Client(), Client()
    for client in (first, second):
        client.force_login(ada)
    assert reads(first, "one") + reads(second, "two", "three") == [200, 200, 402]


def test_a_meter_that_is_off_gives_nothing(metered):
    Meter.objects.update(active=False)
    offers.forget()
    assert reads(Client(), "one") == [402]


def test_of_many_at_once_none_goes_past_the_limit(metered):
    reader = Client()
    reader.post("/paywall/begin/")
    cookie, found = reader.cookies[cookies.COOKIE].value, []

    def one(slug: str) -> None:
        client = Client()
        client.cookies[cookies.COOKIE] = cookie
        found.extend(reads(client, slug))
        connection.close()

    slugs = ["one", "two", "three", "four"] * 2
    at_once([lambda slug=slug: one(slug) for slug in slugs])  # type: ignore[misc]
    assert MeterRead.objects.count() == 2
    assert found.count(200) == 4, "each of the two, twice"


def test_a_buyer_is_not_metered(metered, buyer, facilitator):
    reader = Client()
    paying = buyer.pays(reader.get("/by-object/one/"))
    assert reader.get("/by-object/one/", headers=paying).status_code == 200
    assert reads(reader, "one", "two", "three", "four") == [200, 200, 200, 402]


# -------------------------------------------------------------------------------- Gifts


@pytest.fixture
def article(make_resource):
    return make_resource(access="forever")


def give(resource: Any, uses: int = 1, **fields: Any) -> str:
    """A link by staff; its path."""
    made = Gift.objects.create(
        resource=resource,
        url="http://testserver/item/",
        uses=uses,
        **{"expires_at": timezone.now() + timedelta(days=1), **fields},
    )
    return gifts.link(made).removeprefix("http://testserver")


def test_a_link_opens_the_page_to_so_many_readers(article):
    path = give(article, uses=2)
    first, second, third = Client(), Client(), Client()
    assert [c.get(path, headers=PERSON).status_code for c in (first, second, third)] == [
        *(200, 200),
        402,
    ]
    assert first.get(path, headers=PERSON).status_code == 200, "a reload counts once"
    assert first.get("/item/", headers=PERSON).status_code == 200, "and it is a pass"
    assert Gift.objects.get().used == 2


def test_it_ends_and_so_does_what_it_opened(article):
    reader = Client()
    path = give(article)
    assert reader.get(path, headers=PERSON).status_code == 200
    past = timezone.now() - timedelta(seconds=1)
    AccessPass.objects.update(expires_at=past)
    Gift.objects.update(expires_at=past)
    assert reader.get(path, headers=PERSON).status_code == 402
    assert Client().get(path, headers=PERSON).status_code == 402


def test_a_revoked_link_and_its_readers(article):
    reader, path = Client(), give(article, uses=5)
    assert reader.get(path, headers=PERSON).status_code == 200
    ledger.revoke_gift(Gift.objects.get())
    assert reader.get("/item/", headers=PERSON).status_code == 402
    assert Client().get(path, headers=PERSON).status_code == 402


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path[:-1] + ("a" if path[-1] != "a" else "b"),
        lambda path: path.partition("gift=")[0] + "gift=" + "x" * 5_000,
        lambda path: path.partition("gift=")[0] + "gift=",
        lambda path: path.partition("%3A")[0],
        lambda path: path.replace("/item/", "/by-object/other/"),
    ],
)
def test_a_link_that_is_none_opens_nothing(article, make_resource, spoil):
    make_resource("other", access="forever")
    assert Client().get(spoil(give(article)), headers=PERSON).status_code == 402
    assert Gift.objects.get().used == 0


@pytest.mark.parametrize(
    "headers", [{"Accept": "*/*"}, {**PERSON, "Sec-Purpose": "prefetch;prerender"}]
)
def test_a_preview_of_a_link_uses_nothing_up(article, headers):
    path = give(article)
    assert Client().get(path, headers=headers).status_code == 402
    assert Client().head(path, headers=PERSON).status_code == 402
    assert Gift.objects.get().used == 0


def test_of_many_at_once_so_many_come_in(article):
    path, found = give(article, uses=3), []

    def one() -> None:
        found.append(Client().get(path, headers=PERSON).status_code)
        connection.close()

    at_once([one] * 8)
    assert sorted(found) == [200] * 3 + [402] * 5


def test_a_page_that_fails_uses_nothing_up(article):
    path = give(article).replace("/item/", "/failing/")
    reader = Client()
    assert reader.get(path, headers=PERSON).status_code == 500
    assert Gift.objects.get().used == 0
    assert not AccessPass.objects.exists()


def test_a_buyer_gives_away_what_is_theirs(article, buyer, facilitator, paywall_settings):
    paywall_settings(GIFT_LINKS=1)
    client = Client()
    client.get("/item/", headers=buyer.pays(client.get("/item/")))
    ticket = tickets.sign(offers.load("item"), "http://testserver/item/")
    stranger = Client().post("/paywall/gift/", {"ticket": ticket}, headers=OURS)
    assert stranger.status_code == 404
    assert client.post("/paywall/gift/", {"ticket": ticket}).status_code == 403, "no page of ours"
    made = client.post("/paywall/gift/", {"ticket": ticket}, headers=OURS)
    path = gifts.link(Gift.objects.get())
    assert path in made.content.decode()
    again = client.post("/paywall/gift/", {"ticket": ticket}, headers=OURS)
    assert again.status_code == 403
    friend = Client()
    assert friend.get(path, headers=PERSON).status_code == 200
    # What was given cannot be given on.
    assert friend.post("/paywall/gift/", {"ticket": ticket}, headers=OURS).status_code == 404
    # And what is taken back from its buyer is taken back from them.
    ledger.revoke_pass(Payment.objects.get())
    assert friend.get("/item/", headers=PERSON).status_code == 402


def test_without_the_setting_nobody_gives_anything(article, buyer, facilitator):
    client = Client()
    client.get("/item/", headers=buyer.pays(client.get("/item/")))
    ticket = tickets.sign(offers.load("item"), "http://testserver/item/")
    assert client.post("/paywall/gift/", {"ticket": ticket}, headers=OURS).status_code == 404


# ---------------------------------------------------------------------- Parts of a page

PART = "{% load paywall %}before{% paywalled what %}SECRET {{ boom }}{% endpaywalled %}after"


def shown(what: Any, client_cookies: Any = None, marks: bool = True, **meta: str) -> str:
    request = RequestFactory().get("/page/", **meta)
    if client_cookies is not None:
        request.COOKIES = {name: morsel.value for name, morsel in client_cookies.items()}
        request.META["HTTP_COOKIE"] = "; ".join(f"{k}={v}" for k, v in request.COOKIES.items())
    if marks:
        setattr(request, inline.MARKS, [])
    return str(engines["django"].from_string(PART).render({"what": what}, request))


def test_what_is_between_the_tags_is_for_payers(article, buyer, facilitator):
    page = shown(article)
    assert "SECRET" not in page
    assert page.startswith("before")
    assert page.endswith("after")
    assert 'data-paywall-way="wallet"' in page
    assert '"isAccessibleForFree": false' in page
    client = Client()
    challenge = client.get("/paywall/unlock/item/")
    assert challenge.status_code == 402
    paid = client.get("/paywall/unlock/item/", headers=buyer.pays(challenge))
    assert paid.json()["unlocked"] == "item"
    page = shown(article, client.cookies)
    assert '<div class="paywall-content">SECRET' in page
    assert "data-paywall-way" not in page


def test_it_is_not_even_rendered(article):
    class Boom:
        def __str__(self) -> str:
            raise AssertionError("it was rendered")

    request = RequestFactory().get("/page/")
    setattr(request, inline.MARKS, [])
    engines["django"].from_string(PART).render({"what": article, "boom": Boom()}, request)


def test_without_a_request_there_is_nothing(article):
    """A feed, a mail."""
    page = engines["django"].from_string(PART).render({"what": article})
    assert str(page) == "beforeafter"


def test_without_the_middleware_nothing_is_shown(article):
    with pytest.raises(ImproperlyConfigured, match="PaywallMiddleware"):
        shown(article, marks=False)


@pytest.mark.parametrize("what", [None, "", "no-such-resource", 17, object()])
def test_what_is_not_sold_is_not_given_away(article, what, caplog):
    page = shown(what)
    assert "SECRET" not in page
    assert "cannot be bought at the moment" in page
    assert "cannot be sold" in caplog.text


def test_what_is_sold_by_the_request_has_no_pass(item, caplog):
    assert "SECRET" not in shown(item)
    assert "cannot be sold" in caplog.text
    assert Client().get("/paywall/unlock/item/").status_code == 404


def test_a_metered_month_and_a_gift_open_it_too(article):
    article.meter = Meter.objects.create(name="Articles", uses=1)
    article.save()
    person = {"HTTP_ACCEPT": "text/html", "HTTP_SEC_FETCH_MODE": "navigate"}
    assert "SECRET" in shown(article, **person)
    Meter.objects.update(active=False)
    offers.forget()
    assert "SECRET" not in shown(article, **person)


def test_the_page_is_its_readers_alone(article, settings):
    """In the demo, through the middleware."""
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [ROOT / "templates"]}]
    call_command("seed_demo", verbosity=0)
    client = Client()
    page = client.get("/articles/in-part/the-long-now-of-soup/", headers=PERSON)
    assert page.status_code == 200
    text = page.content.decode()
    assert "A pot that has not been empty" in text
    assert "Is it the same soup" not in text
    assert "private" in page.headers["Cache-Control"]
    assert "Cookie" in page.headers["Vary"]


def test_unlocking_is_a_challenge_like_any_other(article):
    accepts = challenge_of(Client().get("/paywall/unlock/item/"))["accepts"]
    assert accepts[0]["amount"] == "10000"
    assert CALLS["item"] == 0
