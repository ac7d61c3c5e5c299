from __future__ import annotations

import base64
import json
from decimal import Decimal

import pytest
from x402.http.utils import decode_payment_required_header, decode_payment_response_header
from x402.schemas import PaymentRequiredV1

from paywall.exceptions import Code, Refused
from paywall.protocols import registry as protocols
from paywall.protocols.base import Goods
from paywall.protocols.x402.requirements import requirements
from paywall.protocols.x402.v2 import MAX_HEADER_CHARS
from paywall.testing import encode
from paywall.vocabulary import Asked, Offer, Outcome

PAY_TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
GOODS = Goods("A title", "A description", "text/html")


def offer(network: str = "eip155:84532", **changes: object) -> Offer:
    fields = {
        "rail": "evm",
        "scheme": "exact",
        "network": network,
        "amount": 10000,
        "timeout": 300,
        "terms": {
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "payTo": PAY_TO,
            "extra": {"name": "USDC", "version": "2"},
        },
        "account_id": 1,
        "price_id": 1,
        "price": Decimal("0.01"),
        "currency": "USD",
        "symbol": "USDC",
        "decimals": 6,
        **changes,
    }
    return Offer(**fields)


def header_of(challenge, url):
    return challenge.headers(Asked(url))["PAYMENT-REQUIRED"]


V2 = {
    "x402Version": 2,
    "accepted": requirements(offer()),
    "payload": {"signature": "0x", "authorization": {}},
}
V1 = {"x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": {"a": 1}}


def read(limit: int = 10_000, **headers: str):
    meta = {"HTTP_" + name.upper(): value for name, value in headers.items()}
    return protocols.read_credential(meta, limit)


# ------------------------------------------------------------------------------- Reading


def test_no_header_is_no_credential():
    assert read() is None


def test_v2_is_read():
    credential = read(payment_signature=encode({**V2, "resource": {"url": "https://x/y"}}))
    assert credential is not None
    assert credential.protocol == "x402/2"
    assert credential.network == "eip155:84532"
    assert credential.takes is not None
    assert credential.takes(offer())
    assert not credential.takes(offer(amount=1))
    assert credential.resource_url == "https://x/y"


def test_v1_is_read_with_its_network_in_caip2():
    credential = read(x_payment=encode(V1))
    assert credential is not None
    assert credential.protocol == "x402/1"
    assert (credential.scheme, credential.network) == ("exact", "eip155:84532")
    assert credential.takes is None


def refusal(**headers: str) -> Refused:
    with pytest.raises(Refused) as caught:
        read(**headers)
    return caught.value


@pytest.mark.parametrize(
    "value",
    [
        "",
        "not base64!",
        "e30",  # no padding
        base64.b64encode(b"\xff\xfe").decode(),
        base64.b64encode(b"[" * 5_000).decode(),
        encode([]),
        encode("a string"),
        encode({**V2, "accepted": None}),
        encode({**V2, "payload": []}),
        encode({key: V2[key] for key in ("x402Version", "payload")}),
        encode({**V2, "resource": "https://x"}),
        encode(V2) + "," + encode(V2),
        encode(V2) + " " + encode(V2),
        "é" * 10,
        base64.b64encode(b'{"x402Version": ' + b"9" * 5000 + b"}").decode(),
    ],
)
def test_what_is_no_payload_is_a_bad_request(value):
    refused = refusal(payment_signature=value)
    assert (refused.status, refused.code) == (400, Code.INVALID_PAYLOAD)


@pytest.mark.parametrize("version", [1, 3, "2", 2.0, True, None])
def test_a_header_carries_its_own_version(version):
    refused = refusal(payment_signature=encode({**V2, "x402Version": version}))
    assert (refused.status, refused.code) == (400, Code.INVALID_VERSION)


def test_v2_does_not_travel_in_the_v1_header():
    assert refusal(x_payment=encode(V2)).code == Code.INVALID_VERSION


def test_two_payments_are_one_too_many():
    refused = refusal(payment_signature=encode(V2), x_payment=encode(V1))
    assert (refused.status, refused.code) == (400, Code.AMBIGUOUS_CREDENTIAL)


def test_a_long_header_is_refused_unread():
    refused = refusal(payment_signature="x" * 10_001)
    assert (refused.status, refused.code) == (400, Code.CREDENTIAL_TOO_LARGE)


def test_a_network_that_v1_does_not_name_matches_no_offer():
    refused = refusal(x_payment=encode({**V1, "network": "ethereum"}))
    assert (refused.status, refused.code) == (402, Code.NO_MATCHING_OFFER)


# ---------------------------------------------------------------------------- Challenges


def test_the_official_package_reads_the_v2_challenge():
    challenge = protocols.challenge(GOODS, [offer(), offer("eip155:1")])
    read = decode_payment_required_header(header_of(challenge, 'https://x/?a="b"&c=\u00e9'))
    assert read.x402_version == 2
    assert read.resource.url == 'https://x/?a="b"&c=\u00e9'
    assert read.resource.description == "A description"
    assert [o.network for o in read.accepts] == ["eip155:84532", "eip155:1"]
    assert read.accepts[0].amount == "10000"
    assert read.accepts[0].extra == {"name": "USDC", "version": "2"}


def test_the_official_package_reads_the_v1_challenge():
    challenge = protocols.challenge(GOODS, [offer()])
    body = json.loads(challenge.body("https://x/y"))
    read = PaymentRequiredV1.model_validate(body)
    assert read.accepts[0].network == "base-sepolia"
    assert read.accepts[0].max_amount_required == "10000"
    assert read.accepts[0].resource == "https://x/y"
    assert read.accepts[0].description == "A description"
    assert read.accepts[0].mime_type == "text/html"


def test_the_same_body_is_a_problem_of_rfc_9457():
    challenge = protocols.challenge(GOODS, [offer()])
    body = json.loads(challenge.body("https://x/y"))
    assert body["status"] == 402
    assert body["title"] == "Payment Required"
    assert body["type"] == "about:blank"
    assert body["detail"]
    assert body["code"] == body["error"] == "payment_required"
    refused = json.loads(
        challenge.refusal_body("https://x/y", 402, Code.EXPIRED, "Too late.", transaction="0x1")
    )
    assert (refused["code"], refused["error"]) == (Code.EXPIRED, Code.EXPIRED)
    assert (refused["detail"], refused["transaction"]) == ("Too late.", "0x1")


def test_v1_clients_see_only_networks_that_they_know():
    challenge = protocols.challenge(GOODS, [offer("eip155:1"), offer("eip155:8453")])
    body = json.loads(challenge.body("https://x/"))
    assert [o["network"] for o in body["accepts"]] == ["base"]


@pytest.mark.parametrize(
    ("goods", "url", "offers"),
    [
        (Goods("t", "d" * 20_000, "m"), "https://x/", 1),
        (GOODS, "https://x/?" + "u" * 20_000, 1),
        (GOODS, "https://x/", 100),
        (Goods("t", "d" * 20_000, "m"), "https://x/?" + "u" * 20_000, 100),
    ],
)
def test_the_header_stays_below_what_proxies_take(goods, url, offers):
    challenge = protocols.challenge(goods, [offer()] * offers)
    header = header_of(challenge, url)
    assert len(header) <= MAX_HEADER_CHARS
    read = decode_payment_required_header(header)
    assert read.accepts
    assert read.accepts[0].pay_to == PAY_TO
    assert len(json.loads(challenge.body(url))["accepts"]) == offers


# ------------------------------------------------------------------------------ Outcomes


def test_outcomes_go_out_in_both_headers_each_in_its_own_network_names():
    headers = protocols.outcome_headers(
        Outcome(True, "eip155:84532", "0xab", "0xpayer", amount="10000")
    )
    v2 = decode_payment_response_header(headers["PAYMENT-RESPONSE"])
    v1 = decode_payment_response_header(headers["X-PAYMENT-RESPONSE"])
    assert (v2.success, v2.transaction, v2.payer) == (True, "0xab", "0xpayer")
    assert v2.network == "eip155:84532"
    assert v1.network == "base-sepolia"


def test_a_failure_has_its_reason():
    headers = protocols.outcome_headers(
        Outcome(False, "", error_code="settlement_pending", error_message="Wait.")
    )
    read = decode_payment_response_header(headers["PAYMENT-RESPONSE"])
    assert (read.success, read.error_reason, read.error_message) == (
        False,
        "settlement_pending",
        "Wait.",
    )


def test_an_offer_can_be_kept_and_read_back():
    kept = json.loads(json.dumps(offer(amount=2**200).snapshot()))
    assert Offer.from_snapshot(kept) == offer(amount=2**200)
