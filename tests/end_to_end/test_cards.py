"""A person pays by card in a real Chromium: the demo site, and a Stripe that we tell what to do."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest
from eth_account import Account
from mpp.client import Mpp
from mpp.methods.stripe.client import OnChallengeParameters, charge
from playwright.sync_api import Browser, expect
from playwright.sync_api import Error as PlaywrightError

from site_demo.chain.local import free_port
from tests import stripe_double as doubles
from tests.stripe_double import Stripe

from .browser import PATIENCE, browser
from .conftest import Site
from .reader import Reader, Wallet, each_look

PATH = "/articles/deep-archive/"
"""Costs a dollar."""

BODY = "main.article .paywall-content, main.article"


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture
def stripe() -> Iterator[Stripe]:
    with doubles.stripe_double() as double:
        yield double


Sites = Callable[..., Site]


@pytest.fixture
def card_site(make_site, stripe) -> Sites:
    def made(server: str = "gunicorn", **env: str) -> Site:
        port = free_port()
        stripe.webhook = f"http://127.0.0.1:{port}/paywall/hooks/card/"
        keys = {
            "PAYWALL_STRIPE_KEY": doubles.KEY,
            "PAYWALL_STRIPE_WEBHOOK_SECRET": doubles.SECRET,
            "PAYWALL_STRIPE_API_BASE": stripe.url,
        }
        site: Site = make_site(server, **keys, **env)
        return site.start(port=port)

    return made


def rows(site: Site, what: str) -> str:
    return site.shell(f"from paywall.models import *; print({what})").splitlines()[-1]


PAYMENTS = "sorted(Payment.objects.filter(rail='card').values_list('state', flat=True))"


def has_the_article(reader: Reader) -> None:
    expect(reader.page.locator("main.article")).to_be_visible()
    expect(reader.page.locator("[data-paywall-checkout]")).to_have_count(0)


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_two_clicks_and_a_card(chrome, card_site, stripe, server):
    site = card_site(server)
    person = Reader(chrome, site.url)
    person.open(PATH)
    person.pay("card")
    expect(person.page).to_have_title(re.compile("Pay 100 usd"))
    person.page.get_by_role("button", name="Pay").click()
    expect(person.page).to_have_url(site.url + PATH)
    has_the_article(person)
    assert rows(site, PAYMENTS) == "['confirmed']"
    person.close()


def test_cheap_articles_are_not_offered_by_card(chrome, card_site, stripe):
    person = Reader(chrome, card_site().url)
    person.open("/articles/slow-money/")
    expect(person.way("wallet")).to_have_count(1)
    expect(person.way("card")).to_have_count(0)
    person.close()


def test_who_closes_the_window_is_let_in(chrome, card_site, stripe):
    site = card_site()
    person = Reader(chrome, site.url)
    person.open(PATH)
    person.pay("card")
    person.page.wait_for_url("**/c/pay/**")
    stripe.pay(person.page.url.rpartition("/")[2])
    person.page.close()
    person.page = person.context.new_page()
    for _ in range(4 * PATIENCE):
        person.open(PATH)
        if person.page.locator("[data-paywall-checkout]").count() == 0:
            break
        person.page.wait_for_timeout(250)
    has_the_article(person)
    person.close()


def test_a_card_that_is_declined_and_another_one(chrome, card_site, stripe):
    site = card_site()
    person = Reader(chrome, site.url)
    page = person.open(PATH)
    person.pay("card")
    page.locator("select").select_option("tok_stolen")
    page.get_by_role("button", name="Pay").click()
    expect(page.get_by_role("alert")).to_have_text("Your card was declined.")
    page.get_by_role("link", name="Back").click()
    expect(page).to_have_url(site.url + PATH)
    person.pay("card")
    page.wait_for_url("**/c/pay/**")
    page.get_by_role("button", name="Pay").click()
    has_the_article(person)
    sessions = [path for method, path, _ in stripe.asked if method == "POST"]
    assert sessions == ["/v1/checkout/sessions"], "the same order, the same session"
    person.close()


def test_without_javascript(chrome, card_site, stripe):
    site = card_site()
    person = Reader(chrome, site.url, java_script_enabled=False)
    page = person.open(PATH)
    person.pay("card")
    expect(page).to_have_title(re.compile("Pay 100 usd"))
    page.get_by_role("button", name="Pay").click()
    has_the_article(person)
    person.close()


def test_stripe_does_not_answer(chrome, card_site, stripe):
    site = card_site()
    person = Reader(chrome, site.url)
    person.open(PATH)
    stripe.is_down = True
    person.pay("card")
    expect(person.alert).to_contain_text("Payments cannot be taken at the moment.")
    stripe.is_down = False
    person.pay("card")
    person.page.wait_for_url("**/c/pay/**")
    person.page.get_by_role("button", name="Pay").click()
    has_the_article(person)
    assert rows(site, "Order.objects.count()") == "1"
    person.close()


CHEAP = "/articles/slow-money/"
"""Costs ten cents."""


def follows_and_pays(person: Reader, link: str) -> None:
    """From the page of an article to what it links to, and paid on Stripe's page."""
    person.follow(link)
    person.pay("card")
    person.page.wait_for_url("**/c/pay/**")
    person.page.get_by_role("button", name="Pay").click()


def pays_ahead(person: Reader) -> None:
    """From the page of an article to the balance."""
    follows_and_pays(person, "Ten articles")
    expect(person.page.get_by_role("heading", name="Your balance")).to_be_visible()


@pytest.mark.parametrize("scripted", [True, False], ids=["scripts", "no scripts"])
def test_ten_cents_by_card(chrome, card_site, stripe, scripted):
    site = card_site()
    person = Reader(chrome, site.url, java_script_enabled=scripted)
    page = person.open(CHEAP)
    pays_ahead(person)
    expect(page.locator("main")).to_contain_text("$1.00")
    page.get_by_role("link", name="Go on to the page").click()
    expect(page).to_have_url(site.url + CHEAP)
    person.pay("balance")
    expect(page).to_have_url(site.url + CHEAP)
    has_the_article(person)
    page.reload()
    has_the_article(person)
    page.goto(f"{site.url}/paywall/balance/")
    expect(page.locator("main")).to_contain_text("$0.90")
    expect(page.locator("main")).to_contain_text("-$0.10")
    person.close()


A_DAY = """
from paywall.models import Price, Resource
day = Resource.objects.create(
    slug="day", title="Everything for a day", access="period", pass_seconds=86400
)
Price.objects.create(resource=day, amount="2.00")
Resource.objects.filter(content_type__isnull=False).update(bundle=day)
"""


@pytest.mark.parametrize("scripted", [True, False], ids=["scripts", "no scripts"])
def test_a_day_by_card_opens_every_article(chrome, card_site, stripe, scripted):
    """Ten cents are too little for a card: the page offers a bundle, which leads back to it."""
    site = card_site()
    site.shell(A_DAY)
    person = Reader(chrome, site.url, java_script_enabled=scripted)
    page = person.open(CHEAP)
    follows_and_pays(person, "Everything for a day · $2.00")
    expect(page).to_have_url(site.url + CHEAP)
    has_the_article(person)
    for path in (PATH, CHEAP):
        person.open(path)
        has_the_article(person)
    assert rows(site, PAYMENTS) in ("['settled']", "['confirmed']")
    person.close()


A_PROFILE = """
from paywall.models import Account
account = Account.objects.get(rail="card")
account.terms = {**account.terms, "profile": "profile_1MqDcVKA5fEO2tZv"}
account.save()
"""


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_a_program_pays_by_card(card_site, stripe, server):
    """pympp's own client, by MPP's `stripe/charge`; the payment is confirmed by a webhook."""
    site = card_site(server)
    site.shell(A_PROFILE)

    async def create_token(asked: OnChallengeParameters) -> str:
        return str(stripe.grant(int(asked.amount), asked.currency))

    async def buy() -> httpx.Response:
        by_card = charge(create_token=create_token, payment_method="pm_card_visa")
        async with Mpp(methods=[by_card]) as client:
            return await client.fetch(site.url + PATH, method="GET")

    with ThreadPoolExecutor(1) as elsewhere:  # this thread has Playwright's event loop
        response = elsewhere.submit(lambda: asyncio.run(buy())).result()
    assert response.status_code == 200, response.text
    assert "Payment-Receipt" in response.headers
    assert len([one for one in stripe.objects.values() if one["object"] == "charge"]) == 1
    site.manage("paywall_run", "--once")
    assert rows(site, PAYMENTS) == "['confirmed']"


def test_a_wallet_tops_it_up_too(chrome, card_site, chain, stripe):
    site = card_site()
    wallet = Wallet(Account.create(), chain)
    chain.mint(wallet.account.address, 5_000_000)
    person = Reader(chrome, site.url, wallet)
    page = person.open(CHEAP)
    person.follow("Ten articles")
    person.pay()
    expect(page.get_by_role("heading", name="Your balance")).to_be_visible()
    page.get_by_role("link", name="Go on to the page").click()
    person.pay("balance")
    has_the_article(person)
    person.close()


@pytest.mark.parametrize("point", ["balance: spent", "balance: used"])
def test_killed_while_it_is_spent(chrome, card_site, stripe, point):
    """The site dies between the money and the page; its reader comes back, and pays once."""
    site = card_site()
    port = int(site.url.rpartition(":")[2])
    person = Reader(chrome, site.url)
    page = person.open(CHEAP)
    pays_ahead(person)
    site.kill()
    site.env["PAYWALL_DIE_AT"] = point
    site.start(port=port)
    person.open(CHEAP)
    with contextlib.suppress(PlaywrightError):  # nobody answers the click
        person.pay("balance")
    page.wait_for_timeout(500)
    site.kill()
    del site.env["PAYWALL_DIE_AT"]
    site.start(port=port)
    person.open(CHEAP)
    has_the_article(person)
    spent = "BalanceEntry.objects.filter(kind='spent')"
    assert rows(site, f"{spent}.count(), {spent}.get().state") == "1 done"
    assert rows(site, "Balance.objects.get().amount") == "0.9"
    person.close()


@each_look
def test_what_a_balance_looks_like(chrome, card_site, stripe, phone, scheme):
    site = card_site()
    person = Reader(chrome, site.url, phone=phone, color_scheme=scheme)
    page = person.page
    look = partial(person.look, "balances")

    person.open(CHEAP)
    look("402-none")
    person.follow("Ten articles")
    look("top-up")
    page.go_back()
    pays_ahead(person)
    look("topped-up")
    person.open(CHEAP)
    look("402-enough")
    person.pay("balance")
    has_the_article(person)
    page.goto(f"{site.url}/paywall/balance/")
    look("statement")
    page.get_by_role("button", name="Ask for the rest back").click()
    expect(page.get_by_role("status")).to_contain_text("You have asked")
    look("asked-back")
    page.goto(f"{site.url}/paywall/purchases/")
    look("purchases")
    assert person.problems == []
    person.close()


@pytest.mark.parametrize("point", ["card: ordered", "card: session made", "card: paid"])
def test_killed_at_any_point_it_is_paid_once(chrome, card_site, stripe, point):
    """SIGKILL in the middle; then the site is started again, and its buyer tries again."""
    site = card_site(PAYWALL_DIE_AT=point)
    port = int(site.url.rpartition(":")[2])
    person = Reader(chrome, site.url)
    person.open(PATH)
    person.pay("card")
    if point == "card: paid":
        person.page.wait_for_url("**/c/pay/**")
        stripe.webhook = ""
        session = stripe.pay(person.page.url.rpartition("/")[2])
        with pytest.raises(httpx.HTTPError):
            cookies = {one["name"]: one["value"] for one in person.context.cookies()}
            httpx.get(session["success_url"], cookies=cookies, timeout=20)
    else:
        expect(person.alert).to_contain_text("Payments cannot be taken at the moment.")
    site.kill()
    del site.env["PAYWALL_DIE_AT"]
    site.start(port=port)
    person.open(PATH)
    if point != "card: paid":
        person.pay("card")
        person.page.wait_for_url("**/c/pay/**")
        person.page.get_by_role("button", name="Pay").click()
    has_the_article(person)
    assert rows(site, PAYMENTS) == "['confirmed']"
    assert rows(site, "AccessPass.objects.count()") == "1"
    person.context.close()


@each_look
def test_what_is_seen(chrome, card_site, stripe, phone, scheme):
    site = card_site()
    person = Reader(chrome, site.url, phone=phone, color_scheme=scheme)
    page = person.page
    look = partial(person.look, "cards")

    person.open(PATH)
    look("402")
    person.pay("card")
    page.wait_for_url("**/c/pay/**")
    session = page.url.rpartition("/")[2]
    order = stripe.objects[session]["client_reference_id"]
    person.open(f"/paywall/orders/{order}/")
    look("waiting")
    stripe.webhook = ""
    stripe.pay(session, "tok_slow")
    page.reload()
    expect(page.locator("main")).to_contain_text("You need not pay again")
    look("pending")
    person.open(PATH)
    look("402-pending")
    stripe.arrives(session)
    person.open(f"/paywall/orders/{order}/")
    expect(page.locator("main")).to_contain_text("Your payment has arrived")
    look("paid")
    assert person.problems == []
    person.close()
