"""A person buys an article in a real Chromium, with the official facilitator and a real chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from eth_account import Account
from playwright.sync_api import Browser, expect

from site_demo.chain.local import USDC, LocalChain, account
from tests import doubles

from .browser import browser
from .conftest import SELLER, Site
from .helpers import settles_and_dies
from .reader import Reader, Wallet, WalletError, declines

BODY = "The ledger is a school exercise book"
"""Begins what is for payers of /articles/slow-money/."""


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture
def site(make_site) -> Site:
    return make_site(PAYWALL_FREE_ARTICLES="0").start()


@pytest.fixture
def wallet(chain: LocalChain) -> Wallet:
    account = Account.create()
    chain.mint(account.address, 5_000_000)
    return Wallet(account, chain)


Opens = Callable[..., Reader]


@pytest.fixture
def reader(chrome: Browser, site: Site) -> Iterator[Opens]:
    """A reader with these wallets, who complains at the end if anything was stopped or broke."""
    made = []

    def opens(*wallets: Wallet, site: Site = site, **options: object) -> Reader:
        made.append(Reader(chrome, site.url, *wallets, **options))
        return made[-1]

    yield opens
    for one in made:
        one.close()


def is_open(reader: Reader) -> None:
    expect(reader.page.locator("main.article")).to_contain_text(BODY)


def paid(site: Site) -> list[str]:
    states = "Payment.objects.values_list('state', flat=True)"
    told = site.shell(f"from paywall.models import Payment; print(*{states})")
    return told.splitlines()[-1].split() if told else []


def test_two_clicks_and_the_article_is_there(reader, site, wallet):
    person = reader(wallet)
    page = person.open("/articles/slow-money/")
    assert BODY not in page.content()
    person.take("reader-402")
    assert person.axe() == []
    person.pay()
    is_open(person)
    receipt = page.locator("[data-paywall-receipt]")
    expect(receipt).to_be_visible()
    href = receipt.get_attribute("href")
    assert page.evaluate("globalThis.__paid.receipt") == href
    person.take("reader-paid")
    assert wallet.asked["eth_signTypedData_v4"] == 1
    assert wallet.signed[0]["message"]["value"] == "100000"
    person.open("/articles/slow-money/")
    is_open(person)
    assert page.request.get(href).ok
    assert paid(site) == ["settled"]


def test_of_two_wallets_its_owner_picks(reader, chain, wallet):
    other = Wallet(Account.create(), chain, name="Other wallet")
    person = reader(wallet, other)
    page = person.open("/articles/slow-money/")
    person.pay()
    choice = page.locator("[data-paywall-picker] button")
    assert choice.all_inner_texts() == ["Test wallet", "Other wallet"]
    choice.first.click()
    is_open(person)
    assert other.asked == {}


def test_without_a_wallet(reader):
    person = reader()
    person.open("/articles/slow-money/")
    person.pay()
    expect(person.alert).to_contain_text("No wallet was found")


def test_who_declines_pays_nothing_and_may_think_again(reader, site, wallet):
    wallet.before["eth_signTypedData_v4"] = declines
    person = reader(wallet)
    person.open("/articles/slow-money/")
    person.pay()
    expect(person.alert).to_contain_text("You declined in your wallet. Nothing was paid.")
    assert paid(site) == []
    wallet.before.clear()
    person.pay()
    is_open(person)


@pytest.mark.parametrize("knows", [True, False], ids=["known", "to be added"])
def test_on_another_chain_it_is_asked_to_switch(reader, wallet, knows):
    wallet.chain_id, wallet.knows = 1, ({84532} if knows else {1})
    person = reader(wallet)
    person.open("/articles/slow-money/")
    person.pay()
    is_open(person)
    assert wallet.asked["wallet_addEthereumChain"] == (0 if knows else 1)


def test_one_that_stays_on_its_chain(reader, wallet):
    wallet.chain_id = 1
    wallet.before["wallet_switchEthereumChain"] = declines
    person = reader(wallet)
    person.open("/articles/slow-money/")
    person.pay()
    expect(person.alert).to_contain_text("Switch it to Base Sepolia")
    assert wallet.asked["eth_signTypedData_v4"] == 0


def test_a_wallet_that_is_poor_is_told_before_it_signs(reader, chain):
    poor = Wallet(Account.create(), chain)
    chain.mint(poor.account.address, 40_000)
    person = reader(poor)
    person.open("/articles/slow-money/")
    person.pay()
    expect(person.alert).to_contain_text("This wallet has 0.04 USDC on Base Sepolia; 0.1 USDC")
    assert poor.asked["eth_signTypedData_v4"] == 0


def test_a_wallet_that_is_busy_or_broken(reader, wallet):
    def busy() -> None:
        raise WalletError(-32002, "Already processing")

    def broken() -> None:
        raise WalletError(-32603, "Ledger device: locked")

    person = reader(wallet)
    person.open("/articles/slow-money/")
    wallet.before["eth_requestAccounts"] = busy
    person.pay()
    expect(person.alert).to_contain_text("open it and answer there")
    wallet.before["eth_requestAccounts"] = broken
    person.pay()
    expect(person.alert).to_contain_text("Ledger device: locked")


def test_an_offer_that_expired_while_thinking_is_made_anew(reader, site, wallet):
    """The reader's clock runs on while the wallet waits: what was signed is not sent any more."""
    person = reader(wallet)
    page = person.open("/articles/slow-money/")
    page.evaluate("globalThis.late = 0; const real = Date.now; Date.now = () => real() + late")

    def thinks() -> None:
        del wallet.before["eth_signTypedData_v4"]
        page.evaluate("globalThis.late = 3600e3")

    wallet.before["eth_signTypedData_v4"] = thinks
    person.pay()
    is_open(person)
    first, second = [typed["message"] for typed in wallet.signed]
    assert first["nonce"] != second["nonce"]
    assert paid(site) == ["settled"]


def test_a_connection_that_is_lost_after_signing(reader, site, wallet):
    """The same payment goes again, and it is paid once."""
    person = reader(wallet)
    page = person.open("/articles/slow-money/")
    sent: list[str] = []

    def lose(route):
        header = route.request.headers.get("payment-signature")
        if header is None:
            return route.continue_()
        sent.append(header)
        if len(sent) == 1:
            route.fetch()  # it arrives, and its answer does not
            return route.abort("connectionreset")
        if len(sent) == 2:
            return route.abort("internetdisconnected")
        return route.continue_()

    page.route("**/articles/slow-money/", lose)
    person.pay()
    expect(person.status).to_contain_text("The same payment is tried again")
    is_open(person)
    assert len(set(sent)) == 1
    assert wallet.asked["eth_signTypedData_v4"] == 1
    assert paid(site) == ["settled"]


def test_a_reload_in_the_middle_of_it(reader, site, wallet):
    person = reader(wallet)
    page = person.open("/articles/slow-money/")
    page.route(
        "**/articles/slow-money/",
        lambda route: (
            route.abort("internetdisconnected")
            if "payment-signature" in route.request.headers
            else route.continue_()
        ),
    )
    person.pay()
    expect(person.status).to_contain_text("The same payment is tried again")
    page.unroute_all()
    page.reload()
    is_open(person)
    assert wallet.asked["eth_signTypedData_v4"] == 1
    assert paid(site) == ["settled"]


def test_a_payment_that_has_opened_the_page_already(reader, wallet):
    person = reader(wallet)
    signed: list[str] = []
    page = person.open("/articles/slow-money/")
    page.on("request", lambda asked: signed.append(asked.headers.get("payment-signature", "")))
    person.pay()
    is_open(person)
    href = page.locator("[data-paywall-receipt]").get_attribute("href")

    other = reader()
    page = other.open("/articles/slow-money/")
    other.wait_for_script()  # it would take up what is put there, before it is reloaded
    page.evaluate(
        "header => sessionStorage.setItem(`paywall ${location.href}`,"
        " JSON.stringify({ header, at: Date.now() }))",
        max(signed),
    )
    page.reload()
    told = "This payment has opened the page already."
    expect(other.alert).to_contain_text(told)
    expect(other.alert.locator("[data-paywall-receipt]")).to_have_attribute("href", href)
    page.reload()
    expect(other.alert).to_be_empty()


def test_a_way_whose_script_is_blocked_blocks_no_other(reader, wallet):
    person = reader(wallet)
    person.page.route("**/checkout/handler.js", lambda route: route.abort())
    person.open("/articles/slow-money/")
    person.pay()
    expect(person.way("handler")).to_be_hidden()
    is_open(person)
    assert ["handler.js" in told for told in person.errors] == [True]
    person.errors.clear()


# ------------------------------------------------------------------------- By transfer


def asked(reader: Reader) -> int:
    """What the page asks to be sent, in units."""
    expect(reader.page.locator(".paywall-qr svg")).to_be_visible()
    link = reader.page.get_by_role("link", name="Open in a wallet's app").get_attribute("href")
    assert link.startswith("ethereum:0x036CbD53842c5426634e7929541eC2318f3dCF7e@84532/transfer?")
    return int(link.partition("uint256=")[2])


def send(chain: LocalChain, units: int, token: str = USDC) -> str:
    """From an app that knows nothing of us."""
    payer = account(6).address
    chain.send("mint(address,uint256)", payer, units, to=token)
    return chain.send("transfer(address,uint256)", SELLER, units, to=token, sender=6)


def test_a_plain_transfer_opens_the_page(reader, site, chain):
    person = reader(phone=True)
    page = person.open("/articles/slow-money/")
    person.pay("transfer")
    units = asked(person)
    assert 100_000 < units < 110_000
    person.take("reader-transfer-phone")
    assert person.axe() == []
    send(chain, units)
    is_open(person)
    receipt = page.locator("[data-paywall-receipt]").get_attribute("href")
    assert page.request.get(receipt).json()["payment"]["amount"]
    assert paid(site) == ["settled"]
    site.manage("paywall_run", "--once")
    assert paid(site) == ["confirmed"]
    person.open("/articles/slow-money/")
    is_open(person)


def test_an_order_survives_closing_the_browser(reader, site, chain):
    person = reader()
    person.open("/articles/slow-money/")
    person.pay("transfer")
    units = asked(person)
    person.page.close()
    person.page = person.context.new_page()
    person.open("/articles/slow-money/")
    assert asked(person) == units, "the same order"
    person.page.close()
    send(chain, units)
    site.manage("paywall_run", "--once")
    person.page = person.context.new_page()
    person.open("/articles/slow-money/")
    is_open(person)


def test_without_javascript_too(reader, site, chain):
    person = reader(java_script_enabled=False)
    page = person.open("/articles/slow-money/")
    assert not person.way("wallet").is_visible()
    person.pay("transfer")
    units = asked(person)
    assert "/paywall/orders/" in page.url
    send(chain, units)
    page.reload()
    page.get_by_role("link", name="Open the page").click()
    is_open(person)


def test_one_that_is_short_is_a_row_that_buyer_and_owner_see(reader, site, chain):
    person = reader()
    page = person.open("/articles/slow-money/")
    person.pay("transfer")
    asked(person)
    transaction = send(chain, 40_000)
    page.get_by_text("I have paid, and nothing happens").click()
    page.fill("[name=payment]", transaction)
    page.get_by_role("button", name="Look for it").click()
    expect(page.locator("[data-paywall-misfit]")).to_contain_text("0.04 USDC arrived that does not")
    person.take("reader-transfer-short")
    trouble = site.shell("from paywall.models import Order; print(Order.objects.get().trouble)")
    assert "does not fit" in trouble
    assert BODY not in page.content()


def test_one_that_comes_twice_is_seen_by_both(reader, site, chain):
    person = reader()
    page = person.open("/articles/slow-money/")
    person.pay("transfer")
    units = asked(person)
    status = page.locator("[data-paywall-order]").get_attribute("data-paywall-order")
    send(chain, units)
    is_open(person)
    send(chain, units)
    site.manage("paywall_run", "--once")
    person.open(status)
    expect(page.locator("[data-paywall-misfit]")).to_contain_text("arrived that does not fit")
    assert len(paid(site)) == 2


# -------------------------------------------------------------------------- Coming back


def test_from_a_second_browser_with_the_wallet_that_paid(reader, site, wallet):
    first, second = reader(wallet), reader(wallet)
    first.open("/articles/slow-money/")
    first.pay()
    is_open(first)
    second.open("/articles/slow-money/")
    second.page.get_by_role("button", name="I have already paid").click()
    is_open(second)
    assert wallet.asked["eth_signTypedData_v4"] == 1
    second.open("/articles/slow-money/")
    is_open(second)


def test_a_wallet_that_paid_for_nothing_here(reader, wallet):
    person = reader(wallet)
    person.open("/articles/slow-money/")
    person.page.get_by_role("button", name="I have already paid").click()
    expect(person.alert).to_contain_text("Nothing was found that this wallet has paid for")


def test_by_signing_in_on_another_device(reader, site, wallet):
    first, second = reader(wallet), reader()
    first.open("/articles/slow-money/")
    first.pay()
    is_open(first)

    def sign_in(person: Reader) -> None:
        page = person.open("/admin/login/")
        page.fill("#id_username", "demo")
        page.fill("#id_password", "demo")
        page.click("[type=submit]")

    sign_in(first)
    first.page.get_by_role("link", name="Keep them in your account").click()
    first.take("reader-purchases")
    first.page.get_by_role("button", name="Keep in my account").click()
    sign_in(second)
    second.open("/articles/slow-money/")
    is_open(second)


def test_a_revoked_pass_is_gone_at_the_next_request(reader, site, wallet):
    person = reader(wallet)
    person.open("/articles/slow-money/")
    person.pay()
    is_open(person)
    site.shell(
        "from paywall import ledger\nfrom paywall.models import AccessPass\n"
        "ledger.revoke(AccessPass.objects.get())"
    )
    page = person.open("/articles/slow-money/")
    expect(person.way("wallet")).to_be_visible()
    assert BODY not in page.content()


def test_a_payment_that_is_slow_can_be_collected_after_closing_the_page(
    reader, make_site, chain, facilitator_url, wallet, chrome
):
    """The facilitator settles, and its answer gets lost. The browser comes back later, and pays
    nothing more."""
    with doubles.facilitator() as double:
        double.settle = settles_and_dies(facilitator_url)
        site = make_site(PAYWALL_FACILITATOR_URL=double.url, PAYWALL_RPC_URL="").start()
        person = Reader(chrome, site.url, wallet)
        page = person.open("/articles/slow-money/")
        person.pay()
        expect(person.status).to_contain_text("you can also close it and come back later")
        person.take("reader-settling")
        assert person.axe() == []
        page.close()
        person.page = person.context.new_page()
        person.open("/articles/slow-money/")
        expect(person.page.get_by_role("status")).to_contain_text("Your payment is on its way")
        assert person.page.locator("[data-paywall-pay]").count() == 0
        person.page.close()
    site.kill()
    site.env["PAYWALL_RPC_URL"] = chain.url
    site.start(port=int(site.url.rpartition(":")[2]))
    site.shell(
        "from paywall.models import Payment\nfrom django.utils import timezone\n"
        "Payment.objects.update(held_until=timezone.now(), due_at=timezone.now())"
    )
    site.manage("paywall_run", "--once")
    person.page = person.context.new_page()
    person.open("/articles/slow-money/")
    is_open(person)
    assert wallet.asked["eth_signTypedData_v4"] == 1
    assert len(paid(site)) == 1
    person.close()


# ---------------------------------------------------------- What is free, and what is in part


def test_a_metered_month(reader, make_site):
    site = make_site(PAYWALL_FREE_ARTICLES="1").start()
    person = reader(site=site)
    page = person.open("/articles/slow-money/")
    is_open(person)
    expect(page.get_by_text("0 more this month")).to_be_visible()
    person.take("reader-metered")
    person.open("/articles/quiet-engines/")
    expect(person.way("wallet")).to_be_visible()
    person.open("/articles/slow-money/")
    is_open(person)


def test_a_gift_link(reader, wallet):
    giver, friend, other = reader(wallet), reader(), reader()
    giver.open("/articles/slow-money/")
    giver.pay()
    is_open(giver)
    giver.page.get_by_role("button", name="Give this page to somebody").click()
    link = giver.page.locator("[data-paywall-gift]").inner_text()
    giver.take("reader-gift")
    assert giver.axe() == []
    friend.page.goto(link)
    is_open(friend)
    other.page.goto(link)
    expect(other.way("wallet")).to_be_visible()


def test_a_part_of_a_page(reader, site, wallet):
    person = reader(wallet)
    page = person.open("/articles/in-part/the-long-now-of-soup/")
    expect(page.locator("main.article")).to_contain_text("A pot that has not been empty")
    assert "Is it the same soup" not in page.content()
    assert "paywall-content" in page.locator('script[type="application/ld+json"]').inner_text()
    person.take("reader-in-part")
    assert person.axe() == []
    person.pay()
    expect(page.locator("main.article")).to_contain_text("Is it the same soup")
    assert paid(site) == ["settled"]
