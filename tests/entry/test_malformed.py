"""No header value whatever makes a 5xx or a delivery."""

from __future__ import annotations

import base64
import copy
import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from eth_account import Account
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact.permit2_utils import create_permit2_payload
from x402.schemas import PaymentRequirements

from paywall.models import Payment
from paywall.testing import Buyer, encode
from tests.shop.views import CALLS

pytestmark = pytest.mark.django_db

fuzz = settings(
    max_examples=200 if os.environ.get("CI") else 20,  # the inner loop is short
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["0x", "0x" + "00" * 65, "0x" + "ff" * 3000, "9" * 400, "\ud800", "\x00"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
headers = st.sampled_from(["PAYMENT-SIGNATURE", "X-PAYMENT"])


def nothing_happened(response: Any) -> None:
    assert 400 <= response.status_code < 500
    assert response.json()["code"]
    assert CALLS["item"] == 0
    assert not Payment.objects.exists()


def paths(value: Any, so_far: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON document."""
    found = [so_far]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths(inner, (*so_far, key))
    return found


@pytest.mark.parametrize("path", ["/item/", "/async-item/"])
@fuzz
@given(header=headers, value=st.text(st.characters(max_codepoint=255)))
def test_any_text(item, facilitator, path, header, value):
    nothing_happened(Client().get(path, headers={header: value}))


@fuzz
@given(header=headers, value=st.binary(max_size=400))
def test_any_bytes_in_base64(item, facilitator, header, value):
    nothing_happened(Client().get("/item/", headers={header: base64.b64encode(value).decode()}))


@fuzz
@given(header=headers, value=anything)
def test_any_json_in_base64(item, facilitator, header, value):
    nothing_happened(Client().get("/item/", headers={header: encode(value)}))


def by_permit2(challenge: Any) -> dict[str, Any]:
    """A payment by Permit2, as the official client signs it."""
    payload = Buyer().payload(challenge)
    requirements = PaymentRequirements.model_validate(payload["accepted"])
    permit = create_permit2_payload(EthAccountSigner(Account.create()), requirements)
    return {**payload, "payload": permit}


KINDS: dict[str, tuple[Callable[..., dict[str, Any]], str]] = {
    "v1": (Buyer().payload_v1, "X-PAYMENT"),
    "v2": (Buyer().payload, "PAYMENT-SIGNATURE"),
    "permit2": (by_permit2, "PAYMENT-SIGNATURE"),
}


@pytest.mark.parametrize("kind", KINDS)
@fuzz
@given(data=st.data())
def test_a_payment_with_one_thing_wrong(item, facilitator, kind, data):
    client = Client()
    make, header = KINDS[kind]
    payload = make(client.get("/item/"))
    harmless = {
        ("resource", "description"),
        ("resource", "mimeType"),
        ("resource",),  # may be left out, or be null
        ("accepted", "maxTimeoutSeconds"),
    }
    path = data.draw(st.sampled_from([p for p in paths(payload) if p not in harmless]))
    value = data.draw(anything)
    spoiled = copy.deepcopy(payload)
    if path:
        inner = spoiled
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
    else:
        spoiled = value
    same = json.dumps(spoiled, sort_keys=True) == json.dumps(payload, sort_keys=True)
    if not same:
        nothing_happened(client.get("/item/", headers={header: encode(spoiled)}))


@fuzz
@given(
    data=st.data(),
    field=st.sampled_from(["from", "to", "value", "validAfter", "validBefore", "nonce"]),
)
def test_a_signed_field_that_was_changed(item, facilitator, data, field):
    """Well-formed, and not what was signed."""
    buyer, client = Buyer(), Client()
    payload = buyer.payload(client.get("/item/"))
    inner = payload["payload"]["authorization"]
    original = inner[field]
    if original.startswith("0x"):
        size = len(original) // 2 - 1
        changed = "0x" + data.draw(st.binary(min_size=size, max_size=size)).hex()
        same = changed == original.lower()
    else:
        changed = str(data.draw(st.integers(0, 2**256 - 1)))
        same = changed == original
    if not same:
        inner[field] = changed
        nothing_happened(client.get("/item/", headers={"PAYMENT-SIGNATURE": encode(payload)}))


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"x402Version": 2, "paymentPayload": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b"",
        b"\xff\xfe",
    ],
)
def test_deep_json_is_a_malformed_request_to_the_facilitator_server(body):
    from paywall.rails.evm.serving.requests import Malformed, read

    with pytest.raises(Malformed):
        read(body)


def test_a_tokens_name_that_a_client_chooses_has_an_end(paywall_settings):
    """What is made of it is kept in memory."""
    from paywall.rails.evm.serving.requests import Malformed, _offer

    paywall_settings(RPC_URLS={"eip155:84532": "http://127.0.0.1:9"})
    token, to = "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "0x" + "1" * 40
    terms = ("exact", "eip155:84532", token, "1", to, 60)
    assert _offer(*terms, {"name": "x" * 200, "version": "2"}).amount == 1
    for extra in ({"name": "x" * 201, "version": "2"}, {"name": "x", "version": "2" * 10**6}):
        with pytest.raises(Malformed, match="too long"):
            _offer(*terms, extra)
