"""MPP beside x402 on one 402: challenges, credentials, what is refused and how."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from mpp import Challenge, Receipt
from mpp import Credential as TheirCredential

from paywall.models import Payment
from paywall.models.payments import State
from paywall.protocols.mpp import wire
from paywall.protocols.mpp.preferences import preferred
from paywall.testing import Buyer, challenge_of, encode, mpp_challenge_of
from tests.doubles import Answer, success
from tests.helpers import Caller, code
from tests.shop.views import CALLS

pytestmark = pytest.mark.django_db

PROBLEMS = "https://paymentauth.org/problems/"


class Https(Caller):
    def __call__(self, path: str = "/item/", method: str = "get", **kwargs: Any) -> Any:
        return super().__call__(path, method, secure=True, **kwargs)


@pytest.fixture(params=["sync", "async"])
def get(request) -> Https:
    return Https(request.param)


@pytest.fixture
def call() -> Https:
    return Https("sync")


def problem_of(response: Any) -> str:
    return str(response.json()["type"]).removeprefix(PROBLEMS)


def changed(headers: dict[str, str], **changes: Any) -> dict[str, str]:
    """The same credential, with parts of its challenge or payload changed."""
    ((name, value),) = headers.items()
    text = value.removeprefix("Payment ")
    found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    for part, values in changes.items():
        found[part] |= values
    made = base64.urlsafe_b64encode(json.dumps(found).encode()).decode().rstrip("=")
    return {name: f"Payment {made}"}


# -------------------------------------------------------------------------- Challenges


def test_it_is_a_challenge_to_their_own_parser(get, item):
    response = get("/item/?city=Porto")
    found = Challenge.from_www_authenticate(response.headers["WWW-Authenticate"])
    assert (found.method, found.intent, found.realm) == ("evm", "charge", "testserver")
    offer = challenge_of(response)["accepts"][0]
    assert found.request == {
        "amount": offer["amount"],
        "currency": offer["asset"],
        "recipient": offer["payTo"],
        "methodDetails": {
            "chainId": 84532,
            "credentialTypes": ["authorization"],
            "decimals": 6,
        },
    }
    assert found.header is None
    assert set(found.opaque or {}) == {"m", "n", "u"}
    assert "Payment-Receipt" not in response.headers


def test_no_two_are_the_same(call, item):
    """Whoever buys twice at once signs two things."""
    assert len({mpp_challenge_of(call())["id"] for _ in range(20)}) == 20


def test_none_goes_over_plain_http(item):
    assert "WWW-Authenticate" not in Client().get("/item/").headers
    local = Client().get("/item/", headers={"Host": "127.0.0.1:8000"})
    assert "WWW-Authenticate" in local.headers


def test_it_can_be_turned_off(call, item, paywall_settings):
    paywall_settings(MPP=False)
    assert "WWW-Authenticate" not in call().headers


def test_the_realm_is_the_settings_and_not_the_hosts(call, item, paywall_settings, settings):
    settings.ALLOWED_HOSTS = ["*", ".example.com"]
    paywall_settings(REALM="shop.example")
    response = call(headers={"Host": "evil.example"})
    assert mpp_challenge_of(response)["realm"] == "shop.example"
    paywall_settings(REALM="")
    assert mpp_challenge_of(call(headers={"Host": "evil.example"}))["realm"] == "paywall"


def test_it_says_where_to_pay_if_authorization_is_taken(call, item, facilitator, paywall_settings):
    paywall_settings(PAYMENT_AUTHORIZATION=True)
    headers = Buyer().pays_mpp(call())
    assert list(headers) == ["Payment-Authorization"]
    token = {"Authorization": "Token of the site's own"}
    assert call(headers={**headers, **token}).status_code == 200


@pytest.mark.parametrize("setting", [True, False])
def test_a_resource_chooses_for_itself(call, item, facilitator, paywall_settings, setting):
    paywall_settings(PAYMENT_AUTHORIZATION=setting)
    for choice, header in (("own", "Payment-Authorization"), ("authorization", "Authorization")):
        item.payment_header = choice
        item.save()
        headers = Buyer().pays_mpp(call())
        assert list(headers) == [header]
        assert call(headers=headers).status_code == 200


@pytest.mark.parametrize("own", ["Bearer abc", "Basic YTpi", "Token 123", "Paymentish x"])
def test_a_sites_own_tokens_pass_by(call, item, own):
    assert code(call(headers={"Authorization": own})) == "payment_required"


def test_what_a_client_wants(call, item):
    assert "WWW-Authenticate" in call(headers={"Accept-Payment": "evm/charge"}).headers
    assert "WWW-Authenticate" in call(headers={"Accept-Payment": "tempo/charge"}).headers
    assert "WWW-Authenticate" not in call(headers={"Accept-Payment": "evm/charge;q=0"}).headers
    assert "Accept-Payment" in call().headers["Vary"]


OFFERED = [("evm", "charge"), ("stripe", "charge"), ("evm", "session")]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", OFFERED),
        ("stripe/charge, evm/charge;q=0.5", [OFFERED[1], OFFERED[0]]),
        ("*/*", OFFERED),
        ("*/*;q=0.1, evm/*;q=0.5, evm/session", [OFFERED[2], OFFERED[0], OFFERED[1]]),
        ("evm/*;q=0", [OFFERED[1]]),
        ("*/*;q=0", []),
        ("nonsense", OFFERED),
        ("evm/charge;q=nan", OFFERED),
        ("evm/charge;q=x", OFFERED),
        ("tempo/charge", OFFERED),
        (",".join(["a/b"] * 500), OFFERED),
    ],
)
def test_preferences(text, wanted):
    assert preferred(text, OFFERED, lambda one: one) == wanted


def test_headers_stay_small_with_three_accounts(call, item, account):
    from paywall.rails.evm.terms import account_for

    for number in (1, 2):
        account_for("usdc-base-sepolia", f"0x{number:040x}").save()
    response = call(f"/item/?{'x' * 300}")
    text = response.headers["WWW-Authenticate"]
    assert text.count("Payment id=") == 3
    assert sum(len(name) + len(value) + 4 for name, value in response.items()) < 8_000


# ----------------------------------------------------------------------------- Buying


@pytest.mark.parametrize("by_list", [False, True], ids=["as the draft", "as pympp"])
def test_it_buys(get, item, facilitator, by_list):
    response = get(headers=Buyer().pays_mpp(get(), by_list=by_list))
    assert response.status_code == 200, response.content
    payment = Payment.objects.get()
    assert (payment.state, payment.protocol) == (State.SETTLED, "mpp/1")
    receipt = Receipt.from_payment_receipt(response.headers["Payment-Receipt"])
    assert (receipt.status, receipt.method) == ("success", "evm")
    assert receipt.reference == payment.reference
    assert "private" in response.headers["Cache-Control"]


@pytest.mark.parametrize("header", ["Authorization", "Payment-Authorization"])
def test_in_either_header(call, item, facilitator, header):
    assert call(headers=Buyer().pays_mpp(call(), header=header)).status_code == 200


def test_it_reads_what_their_own_parser_writes(call, item, facilitator):
    ((_, value),) = Buyer().pays_mpp(call()).items()
    again = TheirCredential.from_authorization(value).to_authorization()
    assert call(headers={"Authorization": again}).status_code == 200


def test_the_receipt_is_for_this_dialect(call, item, facilitator):
    response = call(headers=Buyer().pays(call()))
    assert response.status_code == 200
    assert "Payment-Receipt" not in response.headers


def test_a_failure_gets_no_receipt(call, item, facilitator):
    """It goes on 2xx alone."""
    response = call("/failing/", headers=Buyer().pays_mpp(call("/failing/")))
    assert response.status_code == 500
    assert "Payment-Receipt" not in response.headers


def test_a_body_that_is_paid_for_is_the_one_that_is_sent(call, item, facilitator):
    def post(text: str, **headers: str) -> Any:
        sent = {"data": text, "content_type": "application/x-www-form-urlencoded"}
        return call("/writing/", "post", headers=headers, **sent)

    challenge = post("a=1")
    assert challenge.status_code == 402
    assert mpp_challenge_of(challenge)["digest"].startswith("sha-256=:")
    headers = Buyer().pays_mpp(challenge)
    other = post("a=2", **headers)
    assert (other.status_code, problem_of(other)) == (402, "invalid-challenge")
    assert not Payment.objects.exists()
    assert post("a=1", **headers).status_code == 200


# ---------------------------------------------------------------------------- Refusals


def test_for_another_url_or_method(call, item, facilitator):
    headers = Buyer().pays_mpp(call("/item/?city=Porto"))
    for path, method in (("/item/?city=Oslo", "get"), ("/item/?city=Porto", "post")):
        response = call(path, method, headers=headers)
        assert (response.status_code, problem_of(response)) == (402, "invalid-challenge")
        assert "WWW-Authenticate" in response.headers, "a fresh challenge"
    assert not Payment.objects.exists()
    assert facilitator.requests == []


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "x"},
        {"realm": "another"},
        {"expires": "2099-01-01T00:00:00Z"},
        {"opaque": wire.canonical({"m": "GET", "n": "", "u": ""})},
        {"request": wire.canonical({"amount": "1"})},
        {"intent": "session"},
        {"method": "tempo"},
        {"header": "X-Other"},
        {"digest": "sha-256=:AAAA:"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_challenge_that_is_not_ours_or_was_changed(call, item, changes):
    headers = changed(Buyer().pays_mpp(call()), challenge=changes)
    response = call(headers=headers)
    assert (response.status_code, problem_of(response)) == (402, "invalid-challenge")
    assert code(response) == "invalid_challenge"
    assert mpp_challenge_of(response)["id"]


def test_an_older_key_of_the_sites_own_is_good(call, item, facilitator, settings):
    headers = Buyer().pays_mpp(call())
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new one"
    settings.PAYWALL = {**settings.PAYWALL}
    assert call(headers=headers).status_code == 200


def test_one_that_has_expired(call, item, monkeypatch):
    from paywall.protocols.mpp import v1

    now = v1.time.time()
    headers = Buyer().pays_mpp(call())
    monkeypatch.setattr(v1.time, "time", lambda: now + 400)
    response = call(headers=headers)
    assert (response.status_code, problem_of(response)) == (402, "invalid-challenge")


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ({"nonce": "0x" + "00" * 32}, "verification-failed"),
        ({"value": "1"}, "payment-insufficient"),
        ({"to": "0x" + "11" * 20}, "verification-failed"),
        ({"signature": "0x" + "11" * 65}, "verification-failed"),
        ({"signature": 7}, "malformed-credential"),
        ({"from": None}, "malformed-credential"),
        ({"validBefore": "1"}, "payment-expired"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_payload_with_one_thing_wrong(call, item, payload, why):
    response = call(headers=changed(Buyer().pays_mpp(call()), payload=payload))
    assert (response.status_code, problem_of(response)) == (402, why)
    assert mpp_challenge_of(response)["id"]
    assert CALLS["item"] == 0


def test_another_type_of_credential(call, item):
    response = call(headers=changed(Buyer().pays_mpp(call()), payload={"type": "transaction"}))
    assert (response.status_code, problem_of(response)) == (400, "method-unsupported")


@pytest.mark.parametrize(
    "text",
    ["", "e30", "bm8", "!!!", "W10", "eyJjaGFsbGVuZ2UiOjEsInBheWxvYWQiOnt9fQ", "e30=" * 4]
    + ["eyJjaGFsbGVuZ2UiOnsiaWQiOjF9LCJwYXlsb2FkIjp7fX0"],
)
def test_what_is_no_credential(call, item, text):
    response = call(headers={"Authorization": f"Payment {text}"})
    assert (response.status_code, problem_of(response)) == (402, "malformed-credential")
    assert mpp_challenge_of(response)["id"]


def test_deep_json_is_no_credential(call, item):
    deep = base64.urlsafe_b64encode(b"[" * 3_000).decode()
    assert call(headers={"Authorization": f"Payment {deep}"}).status_code == 402


def test_two_credentials_are_one_too_many(call, item):
    one, other = Buyer().pays_mpp(call()), Buyer().pays_mpp(call(), header="Payment-Authorization")
    for headers in (
        {**one, **other},
        {"Authorization": f"{one['Authorization']}, {one['Authorization']}"},
        {**one, **Buyer().pays(call())},
    ):
        response = call(headers=headers)
        assert (response.status_code, code(response)) == (400, "ambiguous_credential")


def test_one_that_is_too_long(call, item):
    response = call(headers={"Authorization": f"Payment {'A' * 9_000}"})
    assert response.status_code == 400


# -------------------------------------------------------------- Once, in either dialect


def test_a_replay_is_refused_without_a_challenge(get, item, facilitator):
    headers = Buyer().pays_mpp(get())
    assert get(headers=headers).status_code == 200
    again = get(headers=headers)
    assert (again.status_code, problem_of(again)) == (403, "verification-failed")
    assert "WWW-Authenticate" not in again.headers
    assert "PAYMENT-REQUIRED" not in again.headers
    assert CALLS["item"] == 1


def test_one_authorization_is_one_payment_in_either_dialect(call, item, facilitator):
    first = call()
    headers = Buyer().pays_mpp(first)
    assert call(headers=headers).status_code == 200
    ((_, value),) = headers.items()
    payload = TheirCredential.from_authorization(value).payload
    signed = {k: v for k, v in payload.items() if k not in ("type", "signature")}
    same = {
        "x402Version": 2,
        "resource": challenge_of(first)["resource"],
        "accepted": challenge_of(first)["accepts"][0],
        "payload": {"signature": payload["signature"], "authorization": signed},
    }
    again = call(headers={"PAYMENT-SIGNATURE": encode(same)})
    assert (again.status_code, code(again)) == (409, "payment_already_used")
    assert Payment.objects.count() == 1
    assert CALLS["item"] == 1


def test_an_unknown_outcome_asks_nobody_to_pay_again(get, item, facilitator):
    facilitator.settle = Answer(die=True)
    headers = Buyer().pays_mpp(get())
    response = get(headers=headers)
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert "WWW-Authenticate" not in response.headers
    assert Payment.objects.get().state == State.SETTLING
    facilitator.settle = success()
    Payment.objects.update(held_until=Payment.objects.get().created_at - timedelta(minutes=1))
    assert get(headers=headers).status_code == 200
    assert Payment.objects.count() == 1


def test_collected_after_its_challenge_has_expired(call, item, facilitator, monkeypatch):
    from paywall.protocols.mpp import v1

    facilitator.settle = Answer(die=True)
    headers = Buyer().pays_mpp(call())
    assert call(headers=headers).status_code == 503
    facilitator.settle = success()
    Payment.objects.update(held_until=Payment.objects.get().created_at - timedelta(minutes=1))
    now = v1.time.time()
    monkeypatch.setattr(v1.time, "time", lambda: now + 400)
    assert call(headers=headers).status_code == 200
