"""One request through the paywall: what the buyer gets, what the ledger says, what was asked."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from paywall.catalog import offers
from paywall.entry import verification
from paywall.exceptions import Code
from paywall.models import Payment, Price, Receipt, Resource
from paywall.models.payments import State
from paywall.testing import Buyer, challenge_of, encode, outcome_of
from tests.doubles import TX, Answer, failure, success
from tests.helpers import Caller, Died, code, dies, let_lapse
from tests.shop.views import CALLS, Watched

pytestmark = pytest.mark.django_db

UNKNOWN_ANSWERS = {
    "hangs": Answer(hang=0.8, body={}),
    "502 html": Answer(502, b"<html>Bad Gateway</html>", "text/html"),
    "503 with a success body": Answer(503, success().body),
    "not json": Answer(200, b"all is well", "text/plain"),
    "truncated": Answer(200, success().body, cut=True),
    "settlement_pending": failure("settlement_pending", TX),
    "success without a transaction": success(""),
    "success with junk for one": success("0xnope"),
    'success: "false"': success(success="false"),
    "settles and dies": Answer(die=True),
}


@pytest.fixture(params=["sync", "async"])
def get(request):
    return Caller(request.param)


@pytest.fixture
def call():
    return Caller("sync")


# ---------------------------------------------------------------------------- Challenges


def test_a_request_without_payment_gets_the_challenge(get, item):
    response = get("/item/?city=Porto")
    assert response.status_code == 402
    challenge = challenge_of(response)
    body = response.json()
    assert challenge["accepts"][0]["amount"] == "10000"
    assert body["accepts"][0]["maxAmountRequired"] == "10000"
    assert challenge["resource"]["url"] == body["accepts"][0]["resource"]
    assert challenge["resource"]["url"].endswith("item/?city=Porto")
    assert body["code"] == Code.PAYMENT_REQUIRED
    assert CALLS["item"] == 0


def test_a_challenge_is_not_to_be_kept(get, item):
    headers = get().headers
    assert headers["Cache-Control"] == "no-store"
    for name in ("PAYMENT-SIGNATURE", "X-PAYMENT", "Accept"):
        assert name in headers["Vary"]
    for name in ("PAYMENT-REQUIRED", "PAYMENT-RESPONSE", "X-PAYMENT-RESPONSE"):
        assert name in headers["Access-Control-Expose-Headers"]


def test_a_challenge_costs_no_query(item, paywall_settings, django_assert_num_queries):
    paywall_settings(CACHE_SECONDS=60)
    client = Client()
    client.get("/item/")
    with django_assert_num_queries(0):
        assert client.get("/item/").status_code == 402


def test_a_challenge_is_daily_business_and_not_in_the_log(call, item, caplog):
    call()
    assert "Payment Required" not in caplog.text


def test_the_problem_type_on_request(call, item):
    response = call(headers={"Accept": "application/problem+json"})
    assert response.headers["Content-Type"] == "application/problem+json"
    assert call().headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("method", ["head", "options"])
def test_who_only_asks_is_never_charged(get, item, buyer, facilitator, method):
    challenge = get()
    response = get(method=method, headers=buyer.pays(challenge))
    assert response.status_code == 402
    assert challenge_of(response) == challenge_of(challenge)
    assert not Payment.objects.exists()
    assert CALLS["item"] == 0


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_no_method_gets_in_unpaid(call, item, method):
    assert call(method=method).status_code == 402
    assert CALLS["item"] == 0


def test_urls_are_right_behind_a_tls_terminating_proxy(call, item, settings):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.USE_X_FORWARDED_HOST = True
    settings.ALLOWED_HOSTS = ["shop.example"]
    response = call(headers={"X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example"})
    assert challenge_of(response)["resource"]["url"] == "https://shop.example/item/"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda item: Resource.objects.all().delete(),
        lambda item: Price.objects.all().delete(),
        lambda item: Resource.objects.update(active=False),
    ],
)
def test_what_cannot_be_priced_is_not_given_away(get, item, buyer, facilitator, spoil, caplog):
    paying = buyer.pays(get())
    spoil(item)
    offers.forget()
    for response in (get(), get(headers=paying)):
        assert response.status_code == 503
        assert code(response) == Code.NOT_FOR_SALE
    assert CALLS["item"] == 0
    assert "cannot be sold" in caplog.text


# -------------------------------------------------------------------------------- Paying


@pytest.mark.parametrize("pays", ["pays", "pays_v1"])
def test_a_payment_opens_once(get, item, buyer, facilitator, pays):
    paying = getattr(buyer, pays)(get())

    response = get(headers=paying)

    assert response.status_code == 200
    assert response.json()["sold"] == "item"
    payment = Payment.objects.get()
    assert payment.state == State.SETTLED
    assert payment.delivered_at is not None
    assert payment.reference == TX
    assert payment.payer == buyer.account.address
    assert len(facilitator.asked("/settle")) == 1
    assert facilitator.asked("/verify") == []
    for header in ("PAYMENT-RESPONSE", "X-PAYMENT-RESPONSE"):
        outcome = outcome_of(response, header)
        assert (outcome["success"], outcome["transaction"]) == (True, TX)
        assert outcome["payer"] == buyer.account.address
    assert response.headers["Cache-Control"] == "private"
    assert "PAYMENT-SIGNATURE" in response.headers["Vary"]
    assert "PAYMENT-RESPONSE" in response.headers["Access-Control-Expose-Headers"]

    again = get(headers=paying)

    # Without an offer: an automatic buyer whose response was lost must not pay twice.
    assert again.status_code == 409
    assert code(again) == Code.ALREADY_USED
    assert outcome_of(again)["transaction"] == TX
    assert again.json()["transaction"] == TX
    assert "PAYMENT-REQUIRED" not in again.headers
    assert "accepts" not in again.json()
    assert again.json()["receipt"] == again.headers["Link"].partition(">")[0][1:]
    assert get(again.json()["receipt"]).json()["payment"]["transaction"] == TX
    assert CALLS["item"] == 1
    assert len(facilitator.asked("/settle")) == 1


def test_a_delivery_names_its_receipt(get, item, buyer, facilitator):
    response = get(headers=buyer.pays(get()))
    link = response.headers["Link"]
    assert link.endswith('; rel="receipt"; type="application/json"')
    receipt = Receipt.objects.get()
    url = link[1 : link.index(">")]
    assert url == f"http://testserver/paywall/receipts/{receipt.public_id}/"
    document = Client().get(url).json()
    assert document["payment"]["transaction"] == TX
    assert document["payment"]["state"] == "settled"
    assert document["delivered"] is not None


def test_what_is_sent_to_the_facilitator_is_what_was_checked(call, item, buyer, facilitator):
    """Canonical, and with our offer: no room for two parsers to differ."""
    payload = buyer.payload(call())
    authorization = payload["payload"]["authorization"]
    canonical = dict(authorization)
    authorization["value"] = "000" + authorization["value"]
    authorization["nonce"] = "0x" + authorization["nonce"][2:].upper()
    authorization["from"] = authorization["from"].lower()
    payload["payload"]["smuggled"] = {"value": "1"}
    payload["accepted"]["smuggled"] = 1
    assert call(headers={"PAYMENT-SIGNATURE": encode(payload)}).status_code == 200
    (sent,) = facilitator.asked("/settle")
    assert sent["paymentPayload"]["payload"] == {
        "signature": payload["payload"]["signature"],
        "authorization": canonical,
    }
    assert sent["paymentPayload"]["accepted"] == sent["paymentRequirements"]
    assert "smuggled" not in json.dumps(sent)


def test_one_authorization_is_one_however_it_is_spelled(call, item, buyer, facilitator):
    payload = buyer.payload(call())
    assert call(headers={"PAYMENT-SIGNATURE": encode(payload)}).status_code == 200
    inner = payload["payload"]["authorization"]
    signature = payload["payload"]["signature"]
    for change in [
        {"value": "0" + inner["value"]},
        {"from": inner["from"].lower()},
        {"to": "0x" + inner["to"][2:].upper()},
        {"nonce": "0x" + inner["nonce"][2:].upper()},
        {"validAfter": "00"},
    ]:
        payload["payload"]["authorization"] = {**inner, **change}
        response = call(headers={"PAYMENT-SIGNATURE": encode(payload)})
        assert code(response) == Code.ALREADY_USED
    v = bytes.fromhex(signature[-2:])[0] - 27
    payload["payload"]["signature"] = signature[:-2] + f"{v:02x}"
    assert code(call(headers={"PAYMENT-SIGNATURE": encode(payload)})) == Code.ALREADY_USED
    assert len(facilitator.asked("/settle")) == 1
    assert CALLS["item"] == 1


# --------------------------------------------------------------------- What is not accepted


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"value": "9999"}, Code.WRONG_AMOUNT),
        ({"value": "10001"}, Code.WRONG_AMOUNT),
        ({"to": "0x" + "11" * 20}, Code.WRONG_RECIPIENT),
        ({"validBefore": "1"}, Code.EXPIRED),
        ({"validAfter": "99999999999"}, Code.NOT_YET_VALID),
    ],
)
def test_a_wrong_authorization_is_refused_here(get, item, buyer, facilitator, changes, expected):
    response = get(headers=buyer.pays(get(), **changes))
    assert response.status_code == 402
    assert code(response) == expected
    assert outcome_of(response)["errorReason"] == expected
    assert outcome_of(response)["success"] is False
    assert challenge_of(response)["accepts"]
    assert not Payment.objects.exists()
    assert facilitator.requests == []
    assert CALLS["item"] == 0


def test_clocks_may_differ_a_little(call, item, buyer, facilitator):
    now = int(timezone.now().timestamp())
    facilitator.settle = success()
    assert call(headers=buyer.pays(call(), validAfter=str(now + 3))).status_code == 200
    for seconds in (-3, 0, 5, 6):
        expired = buyer.pays(call(), validBefore=str(int(time.time()) + seconds))
        assert code(call(headers=expired)) == Code.EXPIRED


def test_an_authorization_that_never_ends_is_refused(call, item, buyer, facilitator):
    """It could be sent again for ever, at the cost of whoever pays the gas."""
    endless = buyer.pays(call(), validBefore=str(2**255))
    assert code(call(headers=endless)) == Code.VALID_TOO_LONG
    assert facilitator.requests == []


@pytest.mark.parametrize("pays", ["payload", "payload_v1"])
def test_a_forged_signature_is_refused_whatever_a_facilitator_says(
    get, item, buyer, facilitator, pays
):
    """The double says yes to everything; so might one that was bought."""
    payload = getattr(buyer, pays)(get())
    forged = getattr(Buyer(), pays)(get())
    payload["payload"]["signature"] = forged["payload"]["signature"]
    header = "PAYMENT-SIGNATURE" if payload["x402Version"] == 2 else "X-PAYMENT"
    response = get(headers={header: encode(payload)})
    assert response.status_code == 402
    assert code(response) == Code.BAD_SIGNATURE
    assert facilitator.requests == []
    assert CALLS["item"] == 0


@pytest.mark.parametrize("domain", [{"chainId": 1}, {"name": "USD Coin"}, {"version": "1"}])
def test_a_signature_for_another_token_or_chain_is_refused(call, item, buyer, facilitator, domain):
    payload = buyer.payload(call())
    authorization = payload["payload"]["authorization"]
    payload["payload"]["signature"] = buyer.sign(authorization, payload["accepted"], **domain)
    response = call(headers={"PAYMENT-SIGNATURE": encode(payload)})
    assert code(response) == Code.BAD_SIGNATURE


def test_an_offer_is_not_for_the_buyer_to_make(call, item, buyer, facilitator):
    """Signed rightly, for a price that we never asked."""
    response = call()
    challenge = challenge_of(response)
    offer = {**challenge["accepts"][0], "amount": "1"}
    authorization = buyer.authorize(offer)
    payload = {
        "x402Version": 2,
        "accepted": offer,
        "payload": {
            "signature": buyer.sign(authorization, offer),
            "authorization": authorization,
        },
    }
    response = call(headers={"PAYMENT-SIGNATURE": encode(payload)})
    assert (response.status_code, code(response)) == (402, Code.NO_MATCHING_OFFER)


@pytest.mark.parametrize(
    ("header", "status", "expected"),
    [
        ({"PAYMENT-SIGNATURE": "garbage"}, 400, Code.INVALID_PAYLOAD),
        ({"X-PAYMENT": "e30="}, 400, Code.INVALID_VERSION),
        ({"PAYMENT-SIGNATURE": "x" * 9000}, 400, Code.CREDENTIAL_TOO_LARGE),
        ({"PAYMENT-SIGNATURE": "a", "X-PAYMENT": "b"}, 400, Code.AMBIGUOUS_CREDENTIAL),
    ],
)
def test_what_is_no_payment_is_a_bad_request(get, item, header, status, expected):
    response = get(headers=header)
    assert (response.status_code, code(response)) == (status, expected)
    assert response.json()["status"] == status


# ------------------------------------------------------------------------------- Binding


def test_a_payment_is_for_the_url_that_it_was_made_for(get, item, buyer, facilitator):
    paying = buyer.pays(get("/item/?city=Porto"))
    response = get("/item/?city=Lisbon", headers=paying)
    assert (response.status_code, code(response)) == (402, Code.RESOURCE_MISMATCH)
    assert not Payment.objects.exists()
    assert get("/item/?city=Porto", headers=paying).status_code == 200


def test_a_v1_payment_is_bound_by_its_first_use(get, item, buyer, facilitator):
    facilitator.settle = Answer(die=True)
    paying = buyer.pays_v1(get("/item/?city=Porto"))
    assert get("/item/?city=Porto", headers=paying).status_code == 503
    let_lapse()
    response = get("/item/?city=Lisbon", headers=paying)
    assert code(response) == Code.RESOURCE_MISMATCH


def test_a_payment_is_for_the_method_that_it_was_made_for(call, item, buyer, facilitator):
    facilitator.settle = Answer(die=True)
    paying = buyer.pays(call())
    assert call(headers=paying).status_code == 503
    let_lapse()
    assert code(call(method="post", headers=paying)) == Code.RESOURCE_MISMATCH


def test_one_article_never_opens_another(call, make_resource, buyer, facilitator):
    make_resource("a")
    make_resource("b")
    facilitator.settle = Answer(die=True)
    for pays in (buyer.pays, buyer.pays_v1):
        paying = pays(call("/by-object/a/"))
        assert call("/by-object/a/", headers=paying).status_code == 503
        let_lapse()
        assert code(call("/by-object/b/", headers=paying)) == Code.RESOURCE_MISMATCH
    assert CALLS["b"] == 0


def test_cheap_never_opens_dear(call, make_resource, buyer, facilitator):
    make_resource("cheap", "0.01")
    make_resource("dear", "5.00")
    challenge = call("/by-object/cheap/")
    response = call("/by-object/dear/", headers=buyer.pays_v1(challenge))
    assert code(response) == Code.NO_MATCHING_OFFER
    payload = buyer.payload(challenge)
    payload["resource"] = challenge_of(call("/by-object/dear/"))["resource"]
    response = call("/by-object/dear/", headers={"PAYMENT-SIGNATURE": encode(payload)})
    assert code(response) == Code.NO_MATCHING_OFFER
    assert CALLS["dear"] == 0


def test_the_old_price_can_be_paid_for_a_while(get, item, buyer, facilitator):
    paying = buyer.pays(get())
    Price.objects.create(resource=item, amount=Decimal("0.05"))
    assert get(headers=paying).status_code == 200
    assert Payment.objects.get().price == Decimal("0.01")
    assert challenge_of(get())["accepts"][0]["amount"] == "50000"


# ----------------------------------------------------------------------- The view's answer


def test_what_the_view_answers_stays(call, item, buyer, facilitator):
    response = call("/created/", "post", headers=buyer.pays(call("/created/", "post")))
    assert response.status_code == 201
    assert response.headers["Location"] == "/made/7/"
    assert response.json() == {"id": 7}
    assert response.headers["Link"].startswith('</made/>; rel="up", <http://testserver/paywall/')
    assert "public" not in response.headers["Cache-Control"]
    assert "private" in response.headers["Cache-Control"]
    assert "max-age=60" in response.headers["Cache-Control"]


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_view_that_fails_costs_nothing(call, item, buyer, facilitator, status):
    path = f"/failing/?status={status}"
    paying = buyer.pays(call(path))
    response = call(path, headers=paying)
    assert response.status_code == status
    assert response.json() == {"error": "no"}
    assert outcome_of(response)["success"] is False
    assert outcome_of(response)["errorReason"] == Code.VIEW_FAILED
    payment = Payment.objects.get()
    assert (payment.state, payment.error_code) == (State.FAILED, Code.VIEW_FAILED)
    assert facilitator.requests == []
    assert not Receipt.objects.exists()
    assert code(call(path, headers=paying)) == Code.PAYMENT_FAILED


def test_a_view_that_raises_costs_nothing(get, item, buyer, facilitator):
    paying = buyer.pays(get("/raising/"))
    with pytest.raises(RuntimeError, match="the view broke"):
        get("/raising/", headers=paying)
    payment = Payment.objects.get()
    assert (payment.state, payment.error_code) == (State.FAILED, Code.VIEW_FAILED)
    assert payment.error_detail == "RuntimeError"
    assert facilitator.requests == []


def test_a_404_of_the_view_is_a_404(call, item, buyer, facilitator):
    assert call("/missing/", headers=buyer.pays(call("/missing/"))).status_code == 404
    assert Payment.objects.get().state == State.FAILED


def test_a_template_that_fails_costs_nothing(call, item, buyer, facilitator):
    from django.template import TemplateDoesNotExist

    with pytest.raises(TemplateDoesNotExist):
        call("/broken-template/", headers=buyer.pays(call("/broken-template/")))
    assert Payment.objects.get().state == State.FAILED
    assert facilitator.requests == []


def test_a_template_response_is_rendered_and_sold(call, item, buyer, facilitator):
    response = call("/template/?name=Ada", headers=buyer.pays(call("/template/?name=Ada")))
    assert response.content.strip() == b"<p>Ada</p>"


def test_a_view_that_returns_nothing_costs_nothing(call, item, buyer, facilitator):
    with pytest.raises(ValueError, match="returned NoneType"):
        call("/nothing/", headers=buyer.pays(call("/nothing/")))
    assert Payment.objects.get().state == State.FAILED


def test_streaming_responses_are_sold(call, item, buyer, facilitator):
    response = call("/streaming/", headers=buyer.pays(call("/streaming/")))
    assert b"".join(response.streaming_content) == b"one two three"
    assert Payment.objects.get().delivered_at is not None


def test_files_are_sold(call, item, buyer, facilitator):
    response = call("/file/", headers=buyer.pays(call("/file/")))
    assert b"".join(response.streaming_content) == b"a file"
    assert outcome_of(response)["success"]


def test_a_file_that_is_held_back_is_closed(call, item, buyer, facilitator):
    facilitator.settle = failure("insufficient_funds")
    response = call("/file/", headers=buyer.pays(call("/file/")))
    assert response.status_code == 402
    assert [file.closed for file in Watched.instances] == [True]


# ---------------------------------------------------------------------- Refused settlement


def test_a_refused_settlement_is_a_402_with_the_reason(get, item, buyer, facilitator):
    facilitator.settle = failure("insufficient_funds")
    paying = buyer.pays(get())
    response = get(headers=paying)
    assert (response.status_code, code(response)) == (402, Code.SETTLEMENT_REFUSED)
    assert "insufficient_funds" in response.json()["detail"]
    assert challenge_of(response)["accepts"]
    assert b"sold" not in response.content
    payment = Payment.objects.get()
    assert (payment.state, payment.error_code) == (State.FAILED, "insufficient_funds")
    assert payment.delivered_at is None
    assert code(get(headers=paying)) == Code.PAYMENT_FAILED
    assert len(facilitator.asked("/settle")) == 1


@pytest.mark.parametrize("answer", [Answer(401, {}), Answer(307, {}), None])
def test_our_own_trouble_is_a_503(get, item, buyer, facilitator, paywall_settings, answer, caplog):
    if answer is None:
        paywall_settings(FACILITATOR_URL="http://127.0.0.1:1")
    else:
        facilitator.settle = answer
    response = get(headers=buyer.pays(get()))
    assert (response.status_code, code(response)) == (503, Code.FACILITATOR_UNAVAILABLE)
    assert "Retry-After" in response.headers
    assert "PAYMENT-REQUIRED" not in response.headers
    payment = Payment.objects.get()
    assert payment.state == State.FAILED
    assert f"payment={payment.pk}" in caplog.text


def test_without_a_facilitator_nothing_is_sold(call, item, buyer, paywall_settings):
    paywall_settings(FACILITATOR_URL="")
    response = call(headers=buyer.pays(call()))
    assert (response.status_code, code(response)) == (503, Code.FACILITATOR_UNAVAILABLE)


def test_a_facilitator_in_the_clear_is_not_used(call, item, buyer, paywall_settings, caplog):
    paywall_settings(FACILITATOR_URL="http://facilitator.example")
    response = call(headers=buyer.pays(call()))
    assert (response.status_code, code(response)) == (503, Code.FACILITATOR_UNAVAILABLE)
    assert "not at https" in caplog.text


# ----------------------------------------------------------------------- Unknown outcomes


@pytest.mark.matrix
@pytest.mark.parametrize("policy", ["after", "before"])
@pytest.mark.parametrize("fault", UNKNOWN_ANSWERS)
def test_an_unknown_outcome_asks_for_patience_not_for_money(
    get, make_resource, buyer, facilitator, paywall_settings, fault, policy
):
    make_resource(policy=policy)
    facilitator.settle = UNKNOWN_ANSWERS[fault]
    if fault == "hangs":
        paywall_settings(FACILITATOR_READ_TIMEOUT=0.2)
    paying = buyer.pays(get())

    response = get(headers=paying)

    assert (response.status_code, code(response)) == (503, Code.SETTLEMENT_PENDING)
    assert int(response.headers["Retry-After"]) > 0
    assert "PAYMENT-REQUIRED" not in response.headers
    assert "accepts" not in response.json()
    outcome = outcome_of(response)
    assert (outcome["success"], outcome["errorReason"]) == (False, "settlement_pending")
    assert b"sold" not in response.content
    payment = Payment.objects.get()
    assert payment.state == State.SETTLING
    assert payment.delivered_at is None
    assert "unknown" in payment.events.values_list("kind", flat=True)

    # The buyer who comes back with the same payment collects it: it was paid for once.
    paywall_settings(FACILITATOR_READ_TIMEOUT=5.0)
    facilitator.settle = success()
    let_lapse()
    response = get(headers=paying)
    assert response.status_code == 200
    assert response.json()["sold"] == "item"
    payment.refresh_from_db()
    assert payment.state == State.SETTLED
    assert payment.delivered_at is not None
    assert code(get(headers=paying)) == Code.ALREADY_USED
    assert Payment.objects.count() == 1


def test_who_hammers_is_asked_to_wait(get, item, buyer, facilitator):
    facilitator.settle = Answer(die=True)
    paying = buyer.pays(get())
    for _ in range(3):
        assert code(get(headers=paying)) == Code.SETTLEMENT_PENDING
    assert len(facilitator.asked("/settle")) == 1


def test_a_refusal_to_a_second_asking_proves_nothing(get, item, buyer, facilitator):
    """The nonce may be used by the first asking; it may also have been cancelled."""
    facilitator.settle = [Answer(die=True), failure("invalid_exact_evm_payload_signature")]
    paying = buyer.pays(get())
    get(headers=paying)
    let_lapse()
    assert code(get(headers=paying)) == Code.SETTLEMENT_PENDING
    assert Payment.objects.get().state == State.SETTLING


def test_a_used_nonce_proves_nothing(get, item, buyer, facilitator):
    facilitator.settle = failure("invalid_exact_evm_nonce_already_used")
    assert code(get(headers=buyer.pays(get()))) == Code.SETTLEMENT_PENDING
    payment = Payment.objects.get()
    assert payment.state == State.SETTLING
    Payment.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    assert payment in Payment.objects.needing_attention()


def test_a_reverted_transaction_of_a_poor_payer_is_a_refusal(get, item, buyer, facilitator):
    """Without a node: the facilitator's own simulation says that the nonce is unused."""
    facilitator.settle = failure("transaction_failed", TX)
    reason = "invalid_exact_evm_insufficient_balance"
    facilitator.verify = Answer(body={"isValid": False, "invalidReason": reason})
    response = get(headers=buyer.pays(get()))
    assert (response.status_code, code(response)) == (402, Code.SETTLEMENT_REFUSED)
    assert Payment.objects.get().error_code == reason


def test_a_reverted_transaction_may_mean_that_somebody_was_quicker(get, item, buyer, facilitator):
    facilitator.settle = failure("transaction_failed", TX)
    reason = "invalid_exact_evm_nonce_already_used"
    facilitator.verify = Answer(body={"isValid": False, "invalidReason": reason})
    assert code(get(headers=buyer.pays(get()))) == Code.SETTLEMENT_PENDING


@pytest.mark.parametrize("pays", ["pays", "pays_v1"])
def test_what_was_paid_for_outlives_its_price_and_its_time(
    get, item, buyer, facilitator, monkeypatch, pays
):
    facilitator.settle = [Answer(die=True), success()]
    soon = str(int(timezone.now().timestamp()) + 20)
    paying = getattr(buyer, pays)(get(), validBefore=soon)
    assert get(headers=paying).status_code == 503
    let_lapse()
    Price.objects.filter(resource=item).delete()
    Price.objects.create(resource=item, amount=Decimal("0.99"))
    real = time.time
    monkeypatch.setattr(verification.time, "time", lambda: real() + 60)
    assert code(get(headers=getattr(Buyer(), pays)(get(), validBefore=soon))) == Code.EXPIRED
    assert get(headers=paying).status_code == 200


def test_a_stranger_cannot_collect_with_an_older_payments_nonce(call, item, buyer, facilitator):
    facilitator.settle = Answer(die=True)
    payload = buyer.payload(call())
    call(headers={"PAYMENT-SIGNATURE": encode(payload)})
    let_lapse()
    facilitator.settle = success()
    payload["payload"]["signature"] = Buyer().payload(call())["payload"]["signature"]
    response = call(headers={"PAYMENT-SIGNATURE": encode(payload)})
    assert code(response) == Code.BAD_SIGNATURE


# -------------------------------------------------------------------------------- before


def test_before_settles_first(get, make_resource, buyer, facilitator):
    make_resource(policy="before")
    order = []
    facilitator.settle = Answer(
        body=success().body, before=lambda _: order.append(("settle", CALLS["item"]))
    )
    assert get(headers=buyer.pays(get())).status_code == 200
    assert order == [("settle", 0)]


def test_before_and_a_refused_settlement_runs_nothing(get, make_resource, buyer, facilitator):
    make_resource(policy="before")
    facilitator.settle = failure("insufficient_funds")
    assert get(headers=buyer.pays(get())).status_code == 402
    assert CALLS["item"] == 0


def test_before_and_a_view_that_fails_can_be_collected(call, make_resource, buyer, facilitator):
    make_resource(policy="before")
    path = "/failing/"
    paying = buyer.pays(call(path))
    response = call(path, headers=paying)
    assert response.status_code == 500
    assert outcome_of(response)["success"] is True
    assert 'rel="receipt"' in response.headers["Link"]
    payment = Payment.objects.get()
    assert (payment.state, payment.delivered_at) == (State.SETTLED, None)
    call(path, headers=paying)
    assert CALLS["failing"] == 2
    assert len(facilitator.asked("/settle")) == 1


def test_before_and_a_view_that_raises_can_be_collected(get, make_resource, buyer, facilitator):
    make_resource(policy="before")
    paying = buyer.pays(get("/raising/"))
    for _ in range(2):
        with pytest.raises(RuntimeError):
            get("/raising/", headers=paying)
    assert CALLS["raising"] == 2
    assert Payment.objects.get().state == State.SETTLED
    assert len(facilitator.asked("/settle")) == 1


# ----------------------------------------------------------------- Requests that broke off


def test_a_claim_that_nobody_holds_is_taken_over(get, item, buyer, facilitator, monkeypatch):
    """The process died while the view ran: nothing was sent, and the buyer tries again."""
    from paywall import settlement

    paying = buyer.pays(get())
    with monkeypatch.context() as patch:
        patch.setattr(settlement, "settle", dies)
        with pytest.raises(Died):
            get(headers=paying)
    assert Payment.objects.get().state == State.CLAIMED
    assert code(get(headers=paying)) == Code.SETTLEMENT_PENDING  # it is still held
    let_lapse()
    assert get(headers=paying).status_code == 200
    assert len(facilitator.asked("/settle")) == 1


def test_a_settled_payment_that_was_not_delivered_is_collected_once(
    get, item, buyer, facilitator, monkeypatch
):
    from paywall.entry import gate

    paying = buyer.pays(get())
    facilitator.settle = Answer(die=True)
    get(headers=paying)
    let_lapse()
    facilitator.settle = success()
    with monkeypatch.context() as patch:
        patch.setattr(gate, "_deliver", dies)
        with pytest.raises(Died):
            get(headers=paying)
    payment = Payment.objects.get()
    assert (payment.state, payment.delivered_at) == (State.SETTLED, None)
    let_lapse()
    assert get(headers=paying).status_code == 200
    assert code(get(headers=paying)) == Code.ALREADY_USED
    assert len(facilitator.asked("/settle")) == 2


def test_a_lost_payment_opens_nothing(get, item, buyer, facilitator):
    paying = buyer.pays(get())
    facilitator.settle = Answer(die=True)
    get(headers=paying)
    Payment.objects.all().move(
        State.LOST, error_code="nothing_moved", closed_at=timezone.now(), reference=TX
    )
    response = get(headers=paying)
    assert (response.status_code, code(response)) == (402, Code.PAYMENT_LOST)
    assert outcome_of(response)["transaction"] == TX


def test_a_view_slower_than_its_claim_gives_nothing_away(call, item, buyer, facilitator):
    """While the view ran, the claim lapsed and somebody else took the payment over."""
    from tests.shop import views

    paying = buyer.pays(call())
    original = views.CALLS

    class Slow(type(original)):  # type: ignore[misc]
        def __setitem__(self, key, value):
            super().__setitem__(key, value)
            if Payment.objects.exists():
                let_lapse()
                from paywall import ledger

                assert ledger.take_up(Payment.objects.get(), 60)

    views.CALLS = Slow()
    try:
        response = call(headers=paying)
    finally:
        views.CALLS = original
    assert (response.status_code, code(response)) == (503, Code.SETTLEMENT_PENDING)
    assert facilitator.requests == []
