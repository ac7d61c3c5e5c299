"""Prices for some, and requests that are free for a while."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test import Client, RequestFactory
from django.utils import timezone
from eth_account import Account as Wallet

from paywall import holders
from paywall.catalog.offers import Free
from paywall.entry.ways import free_quota
from paywall.models import Account, Alert, Audience, FreeUse, Payment, Price, Tally
from paywall.rails.evm import nodes
from paywall.reports import alerts
from paywall.testing import Buyer, challenge_of
from tests.helpers import at_once, code, proof
from tests.shop.views import CALLS

pytestmark = pytest.mark.django_db(transaction=True)

MEMBERS: set[str] = set()


def is_member(request: Any) -> bool:
    name = request.headers.get("X-Member")
    if name == "crash":
        raise RuntimeError("the members' list is away")
    return name in MEMBERS


@pytest.fixture
def audience():
    def make(kind: str, **fields: Any) -> Audience:
        return Audience.objects.create(
            name=f"{kind} {Audience.objects.count()}", kind=kind, **fields
        )

    return make


@pytest.fixture
def price(item):
    def make(audience: Audience, amount: str = "0.004", **fields: Any) -> Price:
        return Price.objects.create(
            resource=item, audience=audience, amount=Decimal(amount), **fields
        )

    return make


@pytest.fixture
def free(price):
    def make(audience: Audience, uses: int = 2, per: str = "address", every: str = "day") -> Price:
        return price(audience, "0", free_uses=uses, free_per=per, free_every=every)

    return make


def signed_in(name: str = "ada", group: Group | None = None) -> Client:
    user, _ = User.objects.get_or_create(username=name)
    if group is not None:
        user.groups.add(group)
    client = Client()
    client.force_login(user)
    return client


def asked(client: Client, **kwargs: Any) -> str | int:
    """What is asked for in the smallest unit; or the status, where nothing is."""
    response = client.get("/item/", **kwargs)
    if response.status_code != 402:
        return response.status_code
    return str(json.loads(response.content)["accepts"][0]["maxAmountRequired"])


def test_signed_in_users_pay_a_price_of_their_own(audience, price):
    price(audience("signed_in"))
    assert asked(Client()) == "10000"
    assert asked(signed_in()) == "4000"


def test_a_group_pays_a_price_of_its_own(audience, price):
    group = Group.objects.create(name="subscribers")
    price(audience("group", group=group), "0.002")
    assert asked(signed_in("ada")) == "10000"
    assert asked(signed_in("bob", group)) == "2000"


def test_a_coupon_by_parameter_or_header(audience, price):
    price(audience("coupon", coupon="SUMMER"), "0.003")
    assert asked(Client(), query_params={"coupon": "SUMMER"}) == "3000"
    assert asked(Client(), headers={"Paywall-Coupon": "SUMMER"}) == "3000"
    assert asked(Client(), query_params={"coupon": "summer"}) == "10000"
    assert asked(Client(), query_params={"coupon": ""}) == "10000"


def test_a_function_of_the_site_decides_and_a_broken_one_admits_nobody(
    audience, price, paywall_settings
):
    paywall_settings(AUDIENCES={"members": "tests.catalog.test_audiences.is_member"})
    MEMBERS.add("ada")
    price(audience("hook", hook="members"))
    assert asked(Client(), headers={"X-Member": "ada"}) == "4000"
    assert asked(Client(), headers={"X-Member": "eve"}) == "10000"
    assert asked(Client(), headers={"X-Member": "crash"}) == "10000"
    paywall_settings(AUDIENCES={})
    assert asked(Client(), headers={"X-Member": "ada"}) == "10000"


def test_the_cheapest_that_fits_counts_and_an_inactive_audience_is_nobodys(audience, price):
    group = Group.objects.create(name="subscribers")
    everyone = audience("signed_in")
    price(everyone, "0.004")
    price(audience("group", group=group), "0.006")
    member = signed_in("ada", group)
    assert asked(member) == "4000"
    everyone.active = False
    everyone.save()
    assert asked(member) == "6000"


def test_nobody_pays_anothers_price(audience, price, buyer, facilitator):
    """An offer that was made to a member is taken from the member alone."""
    price(audience("signed_in"))
    member = signed_in()
    paying = buyer.pays(member.get("/item/"))
    refused = Client().get("/item/", headers=paying)
    assert refused.status_code == 402
    assert not Payment.objects.exists()
    assert member.get("/item/", headers=paying).status_code == 200
    payment = Payment.objects.get()
    assert (payment.authorized, payment.user.username) == ("4000", "ada")


def test_everyones_price_is_not_superseded_by_an_audiences(audience, price, item):
    price(audience("signed_in"))
    assert str(item.current_price()) == "0.01 USD"
    prices = Price.objects.filter(resource=item).in_force(Price.objects.latest("pk").valid_from)
    assert prices.count() == 2


# --------------------------------------------------------------------------- Free requests


def test_some_requests_are_free_and_then_the_price_counts(audience, free):
    free(audience("everyone"), uses=2)
    client = Client()
    first, second = client.get("/item/"), client.get("/item/")
    assert [r.status_code for r in (first, second)] == [200, 200]
    assert [r.headers["Paywall-Free-Remaining"] for r in (first, second)] == ["1", "0"]
    assert "private" in first.headers["Cache-Control"]
    assert asked(client) == "10000"
    assert asked(client) == "10000"
    assert FreeUse.objects.get().used == 2


def test_free_requests_are_counted_for_a_network_not_for_an_address(audience, free):
    free(audience("everyone"), uses=1)
    assert asked(Client(REMOTE_ADDR="203.0.113.7")) == 200
    assert asked(Client(REMOTE_ADDR="203.0.113.99")) == "10000"
    assert asked(Client(REMOTE_ADDR="203.0.114.1")) == 200
    assert asked(Client(REMOTE_ADDR="2001:db8:1::1")) == 200
    assert asked(Client(REMOTE_ADDR="2001:db8:1:ffff::2")) == "10000"
    assert asked(Client(REMOTE_ADDR="nonsense")) == "10000"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "1.2.3.4", "network 10.0.0.0/24"),
        (1, "1.2.3.4", "network 1.2.3.0/24"),
        (1, "6.6.6.6, 1.2.3.4", "network 1.2.3.0/24"),
        (2, "6.6.6.6, 1.2.3.4, 10.0.0.2", "network 1.2.3.0/24"),
        (2, "1.2.3.4", None),
        (1, "", None),
        (1, "::ffff:1.2.3.4", "network 1.2.3.0/24"),
    ],
)
def test_only_proxies_of_ours_are_believed(paywall_settings, proxies, forwarded, expected):
    paywall_settings(PROXIES=proxies)
    request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR=forwarded)
    assert holders.network_of(request) == expected


def test_free_requests_of_a_user_need_a_user(audience, free):
    free(audience("everyone"), uses=1, per="user")
    assert asked(Client()) == "10000"
    assert asked(signed_in("ada")) == 200
    assert asked(signed_in("ada")) == "10000"
    assert asked(signed_in("bob")) == 200


def test_a_coupon_for_so_many_in_all(audience, free):
    free(audience("coupon", coupon="FIRST3"), uses=3, per="all", every="ever")
    codes = [asked(Client(), query_params={"coupon": "FIRST3"}) for _ in range(4)]
    assert codes == [200, 200, 200, "10000"]


def test_a_view_that_fails_uses_nothing_up(audience, free):
    free(audience("everyone"), uses=1, per="all", every="ever")
    client = Client(raise_request_exception=False)
    for path in ("/failing/", "/raising/", "/failing/"):
        assert client.get(path).status_code == 500
    assert FreeUse.objects.get().used == 0


def test_questions_use_nothing_up(audience, free):
    free(audience("everyone"))
    assert Client().head("/item/").status_code == 402
    assert not FreeUse.objects.exists()


def test_who_pays_does_not_use_up_what_is_free(audience, free, buyer, facilitator):
    challenge = Client().get("/item/")
    free(audience("everyone"), uses=1)
    assert Client().get("/item/", headers=buyer.pays(challenge)).status_code == 200
    assert not FreeUse.objects.exists()


def test_of_many_at_once_none_goes_past_the_limit(audience, free):
    free(audience("everyone"), uses=5, per="all", every="ever")
    codes: list[Any] = []
    at_once([lambda: codes.append(asked(Client()))] * 16)
    assert codes.count(200) == 5
    assert FreeUse.objects.get().used == 5
    assert CALLS["item"] == 5


def test_yesterdays_counts_are_forgotten(audience, free):
    free(audience("everyone"), uses=1)
    assert asked(Client()) == 200
    FreeUse.objects.update(period="2026-01-01")
    assert asked(Client()) == 200
    assert free_quota.forget_old() == 1
    assert FreeUse.objects.count() == 1


def test_free_requests_of_a_wallet_that_signs_in(audience, free):
    free(audience("everyone"), uses=1, per="wallet")
    ada, bob = Wallet.create(), Wallet.create()
    assert asked(Client()) == "10000"
    assert asked(Client(), headers={"Sign-In-With-X": proof(ada)}) == 200
    assert asked(Client(), headers={"Sign-In-With-X": proof(ada)}) == "10000"
    assert asked(Client(), headers={"Sign-In-With-X": proof(bob)}) == 200


@pytest.mark.parametrize(
    "header",
    [
        lambda wallet: "nonsense",
        lambda wallet: proof(wallet, "https://elsewhere.example/item/"),
        lambda wallet: proof(wallet, issuedAt="2020-01-01T00:00:00Z"),
        lambda wallet: proof(wallet, domain="elsewhere.example"),
        lambda wallet: proof(wallet)[:-8] + "AAAAAAA=",
        lambda wallet: "A" * 10_000,
    ],
)
def test_a_proof_that_is_none_opens_nothing(audience, free, header):
    free(audience("everyone"), uses=1, per="wallet")
    assert asked(Client(), headers={"Sign-In-With-X": header(Wallet.create())}) == "10000"


# --------------------------------------------------------------------------------- Models


@pytest.mark.parametrize(
    "fields",
    [
        {"amount": 0},
        {"amount": 0, "free_uses": 3, "free_per": "all", "free_every": "day", "audience": None},
        {"amount": 1, "free_uses": 3},
        {"amount": 0, "free_uses": 0, "free_per": "all", "free_every": "day"},
        {"amount": 0, "free_uses": 3, "free_per": "", "free_every": "day"},
        {"amount": -1},
    ],
)
def test_nothing_is_free_without_a_limit(item, audience, fields):
    price = Price(resource=item, **{"audience": audience("everyone"), **fields})
    with pytest.raises(ValidationError):
        price.full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        price.save()


@pytest.mark.parametrize("kind", ["group", "coupon", "hook"])
def test_an_audience_says_who_it_is(kind):
    with pytest.raises(ValidationError):
        Audience(name="x", kind=kind).full_clean()


def test_a_free_quota_says_so(audience, free):
    assert str(free(audience("everyone"), uses=3)) == (
        "3 free for each network address range, counted anew every day"
    )


# ------------------------------------------------------------------------------ Currencies


@pytest.fixture
def euros(account):
    return Account.objects.create(
        network=account.network,
        symbol="EURC",
        currency="EUR",
        terms={
            **account.terms,
            "asset": "0x808456652fdb597867f38412077A9182bf77359F",
            "eip712_name": "EURC",
        },
    )


def offered(**kwargs: Any) -> dict[str, str]:
    challenge = challenge_of(Client().get("/item/", **kwargs))
    return {offer["extra"]["name"]: offer["amount"] for offer in challenge["accepts"]}


def test_the_cheapest_is_chosen_in_each_currency_by_itself(item, audience, price, euros):
    """An audience that is cheaper in one currency and dearer in another takes nobody's price."""
    Price.objects.create(resource=item, amount=Decimal("0.02"), currency="EUR")
    summer = audience("coupon", coupon="SUMMER")
    price(summer, "0.001", currency="EUR")
    price(summer, "5", currency="USD")
    assert offered() == {"USDC": "10000", "EURC": "20000"}
    assert offered(headers={"Paywall-Coupon": "SUMMER"}) == {"USDC": "10000", "EURC": "1000"}


# ------------------------------------------------------------------------------- The grace


def test_who_signed_everyones_price_and_then_brings_a_coupon_is_served(
    item, audience, price, buyer, facilitator
):
    price(audience("coupon", coupon="SUMMER"))
    paying = buyer.pays(Client().get("/item/"))
    response = Client().get("/item/", headers={**paying, "Paywall-Coupon": "SUMMER"})
    assert response.status_code == 200
    assert Payment.objects.get().authorized == "10000"


@pytest.mark.parametrize("how", ["disabled", "ended"])
def test_an_audience_that_ends_while_somebody_signs_is_honoured(
    item, audience, price, buyer, facilitator, how, paywall_settings
):
    summer = audience("coupon", coupon="SUMMER")
    price(summer)
    coupon = {"Paywall-Coupon": "SUMMER"}
    payings = [buyer.pays(Client().get("/item/", headers=coupon)) for _ in range(2)]
    if how == "disabled":
        summer.active = False
    else:
        summer.ends_at = timezone.now()
    summer.save()
    assert offered(headers=coupon) == {"USDC": "10000"}
    # Not by who was never offered it, and not for ever.
    stranger = Client().get("/item/", headers=payings[0])
    assert code(stranger) == "invalid_payment_requirements"
    assert Client().get("/item/", headers={**payings[0], **coupon}).status_code == 200
    Audience.objects.update(
        **{"disabled_at" if how == "disabled" else "ends_at": timezone.now() - timedelta(hours=1)}
    )
    late = Client().get("/item/", headers={**payings[1], **coupon})
    assert code(late) == "invalid_payment_requirements"


# -------------------------------------------------------------------------------- Coupons


def test_a_coupon_in_a_url_is_bound_to_and_not_kept(item, audience, price, buyer, facilitator):
    price(audience("coupon", coupon="SUMMER"))
    path = "/item/?a=1&coupon=SUMMER&b=2"
    paying = buyer.pays(Client().get(path))
    assert code(Client().get("/item/?a=1&b=2", headers=paying)) == "resource_mismatch"
    paid = Client().get(path, headers=paying)
    assert paid.status_code == 200
    receipt = Client().get(paid.headers["Link"].partition(">")[0][1:])
    payment = Payment.objects.get()
    assert payment.url.startswith("http://testserver/item/?a=1&coupon=hidden-")
    assert payment.url.endswith("&b=2")
    for told in (payment.url, receipt.content.decode(), json.dumps(facilitator.requests)):
        assert "SUMMER" not in told
    assert code(Client().get(path, headers=paying)) == "payment_already_used"


def test_guessing_coupons_comes_to_an_end(item, audience, price, paywall_settings, caplog):
    paywall_settings(ALERT_EMAILS=["owner@example.com"])
    price(audience("coupon", coupon="SUMMER"))
    right = {"Paywall-Coupon": "SUMMER"}
    for number in range(9):
        offered(headers={"Paywall-Coupon": f"GUESS{number}"})
    assert offered(headers=right) == {"USDC": "4000"}
    offered(headers={"Paywall-Coupon": "GUESS"})
    assert offered(headers=right) == {"USDC": "10000"}  # not looked at any more
    assert offered(headers=right, REMOTE_ADDR="9.9.9.9") == {"USDC": "4000"}
    alerts.tell()
    assert "guessed from network 127.0.0.0/24" in Alert.objects.get(kind="coupon").title
    Tally.objects.update(ends_at=timezone.now())
    assert offered(headers=right) == {"USDC": "4000"}


def test_a_coupon_is_good_for_so_many_payments(item, audience, price, buyer, facilitator):
    summer = audience("coupon", coupon="SUMMER", coupon_uses=2)
    price(summer)
    coupon = {"Paywall-Coupon": "SUMMER"}
    payings = [buyer.pays(Client().get("/item/", headers=coupon)) for _ in range(3)]
    failing = buyer.pays(Client().get("/failing/", headers=coupon))
    assert Client().get("/failing/", headers={**failing, **coupon}).status_code == 500
    statuses = [Client().get("/item/", headers={**p, **coupon}).status_code for p in payings]
    assert statuses == [200, 200, 402]
    summer.refresh_from_db()
    assert summer.coupon_used == 2
    assert offered(headers=coupon) == {"USDC": "10000"}


def test_of_many_at_once_a_coupon_is_used_no_more_often_than_it_may(
    item, audience, price, facilitator
):
    price(audience("coupon", coupon="SUMMER", coupon_uses=3))
    coupon = {"Paywall-Coupon": "SUMMER"}
    challenge = Client().get("/item/", headers=coupon)
    statuses: list[int] = []

    def buys() -> None:
        headers = {**Buyer().pays(challenge), **coupon}
        statuses.append(Client().get("/item/", headers=headers).status_code)
        connection.close()

    at_once([buys] * 8)
    assert sorted(statuses) == [200] * 3 + [402] * 5


@pytest.mark.parametrize(
    "address", ["1.2.3.4:5678", "[2001:db8::1]:443", "[2001:db8::1]", "2001:db8::1", "1.2.3.4"]
)
def test_proxies_that_write_ports_are_read(address, paywall_settings):
    paywall_settings(PROXIES=1)
    request = RequestFactory().get("/", headers={"X-Forwarded-For": address})
    expected = "network 1.2.3.0/24" if "." in address else "network 2001:db8::/48"
    assert holders.network_of(request) == expected


def test_a_quota_for_wallets_may_ask_for_a_balance(item, audience, monkeypatch, account):
    class Node:
        def balance_of(self, token: str, owner: str) -> Any:
            return 900_000 if owner.endswith("1") else 2_000_000
            yield

    monkeypatch.setattr(nodes, "of", lambda network: Node())
    quota = Free(item.pk, 1, 1, "wallet", "ever", Decimal(1), "USD")
    assert not free_quota._has_enough("0x1", quota)
    assert free_quota._has_enough("0x2", quota)
    monkeypatch.setattr(nodes, "of", lambda network: None)
    assert not free_quota._has_enough("0x2", quota)


@pytest.mark.parametrize("depth", [50, 100_000])
def test_deep_json_is_no_proof_of_a_wallet(item, audience, free, depth):
    free(audience("everyone"), per="wallet")
    nested = base64.b64encode(("[" * depth + "]" * depth).encode()[:6000]).decode()
    assert Client().get("/item/", headers={"Sign-In-With-X": nested}).status_code == 402
