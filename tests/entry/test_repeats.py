"""x402's `payment-identifier`: the same id is one payment, however often it is signed."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from x402.extensions.payment_identifier import (
    append_payment_identifier_to_extensions,
    declare_payment_identifier_extension,
    is_valid_payment_id,
)

from paywall.ledger import answers
from paywall.models import KeptAnswer, Payment, Price
from paywall.settlement import worker
from paywall.testing import Buyer, challenge_of, encode, outcome_of
from tests.doubles import Answer, failure
from tests.helpers import Caller, at_once, code, let_lapse
from tests.shop.views import CALLS

pytestmark = pytest.mark.django_db

ID = "order-1234567890abcdef"
NAME = "payment-identifier"


@pytest.fixture(params=["sync", "async"])
def get(request):
    return Caller(request.param)


def pays(buyer: Buyer, challenge: Any, id_: Any = ID) -> dict[str, str]:
    """A new authorization, with the id of what it is for."""
    payload = buyer.payload(challenge)
    extensions = challenge_of(challenge)["extensions"]
    if isinstance(id_, str) and is_valid_payment_id(id_):
        append_payment_identifier_to_extensions(extensions, id_)
    else:
        extensions[NAME]["info"]["id"] = id_
    return {"PAYMENT-SIGNATURE": encode({**payload, "extensions": extensions})}


def test_it_is_offered_as_the_official_package_declares_it(get, item):
    found = challenge_of(get())["extensions"][NAME]
    assert found == declare_payment_identifier_extension(required=False)


def test_signed_anew_it_is_charged_once_and_answered_the_same(get, item, buyer, facilitator):
    challenge = get()
    first = get(headers=pays(buyer, challenge))
    again = get(headers=pays(buyer, challenge))
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert outcome_of(again) == outcome_of(first)
    assert again.headers["Link"] == first.headers["Link"]
    assert "private" in again.headers["Cache-Control"]
    assert len(facilitator.asked("/settle")) == 1
    assert (Payment.objects.count(), CALLS["item"]) == (1, 1)


def test_the_very_same_payment_is_answered_the_same_too(get, item, buyer, facilitator):
    paying = pays(buyer, get())
    assert get(headers=paying).content == get(headers=paying).content
    assert (Payment.objects.count(), CALLS["item"]) == (1, 1)


def test_without_an_id_a_second_payment_is_a_second_payment(get, item, buyer, facilitator):
    challenge = get()
    for _ in range(2):
        assert get(headers=buyer.pays(challenge)).status_code == 200
    assert len(facilitator.asked("/settle")) == 2


@pytest.mark.parametrize("path", ["/item/?another=1", "/by-object/item/"])
def test_another_request_with_the_same_id_is_a_conflict(item, buyer, facilitator, path):
    get = Client().get
    assert get("/item/", headers=pays(buyer, get("/item/"))).status_code == 200
    refused = get(path, headers=pays(buyer, get(path)))
    assert (refused.status_code, code(refused)) == (409, "idempotency_conflict")
    assert "PAYMENT-REQUIRED" not in refused.headers, "nobody is asked to pay again"
    assert Payment.objects.count() == 1


def test_another_body_with_the_same_id_is_a_conflict(item, buyer, facilitator):
    post = Client().post
    challenge = post("/exempt/", {"a": 1}, content_type="application/json")

    def sends(body: Any) -> Any:
        headers = pays(buyer, challenge)
        return post("/exempt/", body, content_type="application/json", headers=headers)

    assert sends({"a": 1}).status_code == 200
    assert sends({"a": 1}).status_code == 200
    assert sends({"a": 2}).status_code == 409
    assert len(facilitator.asked("/settle")) == 1


def test_a_body_that_is_too_long_to_compare_is_never_the_same(item, buyer, facilitator):
    post, body = Client().post, b"x" * (1024 * 1024 + 1)
    challenge = post("/exempt/", b"", content_type="text/plain")

    def sends() -> Any:
        headers = pays(buyer, challenge)
        return post("/exempt/", body, content_type="text/plain", headers=headers)

    assert sends().status_code == 200
    assert sends().status_code == 409
    assert len(facilitator.asked("/settle")) == 1


def test_another_payer_may_have_the_same_id(get, item, facilitator):
    challenge = get()
    assert get(headers=pays(Buyer(), challenge)).status_code == 200
    assert get(headers=pays(Buyer(), challenge)).status_code == 200
    assert (Payment.objects.count(), CALLS["item"]) == (2, 2)


@pytest.mark.parametrize("id_", ["short", "x" * 129, "with space in the id", "ümläut-ümläut-x", 7])
def test_what_is_no_id_is_refused(get, item, buyer, facilitator, id_):
    refused = get(headers=pays(buyer, get(), id_))
    assert (refused.status_code, code(refused)) == (400, "invalid_payload")
    assert not Payment.objects.exists()


def test_where_it_is_required_it_has_to_be_there(get, item, buyer, facilitator, paywall_settings):
    paywall_settings(PAYMENT_IDENTIFIER="required")
    challenge = get()
    assert challenge_of(challenge)["extensions"][NAME]["info"] == {"required": True}
    refused = get(headers=buyer.pays(challenge))
    assert (refused.status_code, code(refused)) == (400, "payment_identifier_required")
    assert get(headers=pays(buyer, challenge)).status_code == 200


def test_where_it_is_off_it_is_neither_offered_nor_read(
    get, item, buyer, facilitator, paywall_settings
):
    paying = [pays(buyer, get()) for _ in range(2)]
    paywall_settings(PAYMENT_IDENTIFIER="off")
    assert NAME not in challenge_of(get()).get("extensions", {})
    assert [get(headers=one).status_code for one in paying] == [200, 200]
    assert len(facilitator.asked("/settle")) == 2


def test_an_outcome_that_is_not_known_is_gone_on_with(get, item, buyer, facilitator):
    """The buyer's client gives up waiting, and signs a new one: the first is asked again."""
    challenge = get()
    facilitator.settle = Answer(die=True)
    assert get(headers=pays(buyer, challenge)).status_code == 503
    assert get(headers=pays(buyer, challenge)).status_code == 503, "somebody is at it"
    facilitator.settle = None
    let_lapse()
    assert get(headers=pays(buyer, challenge)).status_code == 200
    asked = facilitator.asked("/settle")
    nonces = {one["paymentPayload"]["payload"]["authorization"]["nonce"] for one in asked}
    assert len(nonces) == 1, "the new ones were sent to nobody"
    assert Payment.objects.count() == 1


def test_one_that_failed_took_nothing_and_the_id_is_free_again(get, item, buyer, facilitator):
    challenge = get()
    facilitator.settle = failure("insufficient_funds")
    assert get(headers=pays(buyer, challenge)).status_code == 402
    facilitator.settle = None
    assert get(headers=pays(buyer, challenge)).status_code == 200
    states = Payment.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == ["failed", "settled"]


def test_a_view_that_failed_keeps_no_answer(get, item, buyer, facilitator):
    challenge = get("/failing/")
    assert get("/failing/", headers=pays(buyer, challenge)).status_code == 500
    assert not KeptAnswer.objects.exists()


def test_a_new_price_does_not_charge_again(get, item, buyer, facilitator):
    assert get(headers=pays(buyer, get())).status_code == 200
    Price.objects.create(resource=item, amount=Decimal("0.02"))
    assert get(headers=pays(buyer, get())).status_code == 200
    assert len(facilitator.asked("/settle")) == 1


def test_what_cannot_be_kept_is_refused_as_used_with_its_receipt(get, item, buyer, facilitator):
    challenge = Client().get("/streaming/")
    assert Client().get("/streaming/", headers=pays(buyer, challenge)).status_code == 200
    refused = Client().get("/streaming/", headers=pays(buyer, challenge))
    assert (refused.status_code, code(refused)) == (409, "payment_already_used")
    assert "receipt" in json.loads(refused.content)
    assert len(facilitator.asked("/settle")) == 1


def test_an_answer_is_kept_for_so_long(get, item, buyer, facilitator, paywall_settings):
    challenge = get()
    get(headers=pays(buyer, challenge))
    KeptAnswer.objects.update(created_at=timezone.now() - timedelta(hours=2))
    assert get(headers=pays(buyer, challenge)).status_code == 409
    assert answers.forget_old() == 1
    worker.sweep()
    paywall_settings(KEEP_ANSWERS=0)
    assert get(headers=pays(buyer, challenge, "another-id-of-its-own")).status_code == 200
    assert not KeptAnswer.objects.exists()


def test_an_old_payment_is_not_given_again_to_who_only_read_it(get, item, buyer, facilitator):
    """After a while everybody may have read the authorization in the chain."""
    paying = pays(buyer, get())
    get(headers=paying)
    Payment.objects.update(created_at=timezone.now() - timedelta(minutes=11))
    assert get(headers=paying).status_code == 409
    assert get(headers=pays(buyer, get())).status_code == 200, "its wallet signed anew"


@pytest.mark.django_db(transaction=True)
def test_many_at_once_are_one_payment(item, buyer, facilitator):
    challenge, found = Client().get("/item/"), []

    def pay() -> None:
        found.append(Client().get("/item/", headers=pays(buyer, challenge)).status_code)

    at_once([pay] * 8)
    assert set(found) <= {200, 503}
    assert 200 in found
    assert len(facilitator.asked("/settle")) == 1
    assert Payment.objects.count() == 1
