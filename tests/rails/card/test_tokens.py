"""Programs pay by card: MPP's `stripe/charge`, with a token that Stripe knows."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from mpp import Challenge, Receipt
from mpp.methods.stripe.client import OnChallengeParameters, StripeMethod

from paywall.holders.throttle import UNKNOWN_PAYERS
from paywall.models import Account, Dispute, Payment, Price, Refund, Resource
from paywall.refunds import request
from paywall.settlement import worker
from paywall.testing import mpp_challenge_of
from tests.helpers import at_once, code, let_lapse
from tests.shop.views import CALLS
from tests.stripe_double import DECLINES

from .conftest import tell

pytestmark = pytest.mark.django_db

PROFILE = "profile_1MqDcVKA5fEO2tZv"
ANOTHER = "/item/?another=1"


@pytest.fixture
def program(till, stripe) -> Client:
    """It has no wallet, and no browser."""
    till.terms = {**till.terms, "profile": PROFILE}
    till.save()
    resource = Resource.objects.create(slug="item", title="Item")
    Price.objects.create(resource=resource, amount="1.00")
    return Client()


def get(program: Client, path: str = "/item/", **headers: str) -> Any:
    return program.get(path, headers=headers, secure=True)


def pays(challenge: Any, token: str) -> dict[str, str]:
    text = json.dumps({"challenge": mpp_challenge_of(challenge), "payload": {"spt": token}})
    return {"Authorization": f"Payment {base64.urlsafe_b64encode(text.encode()).decode()}"}


def buys(program: Client, token: str, path: str = "/item/") -> Any:
    return get(program, path, **pays(get(program, path), token))


def charges(stripe: Any) -> list[Any]:
    return [one for one in stripe.objects.values() if one["object"] == "charge"]


def test_the_challenge_says_to_whom_a_token_is_granted(program):
    challenge = Challenge.from_www_authenticate(get(program).headers["WWW-Authenticate"])
    assert (challenge.method, challenge.intent) == ("stripe", "charge")
    assert challenge.request["amount"] == "100"
    assert challenge.request["currency"] == "usd"
    assert challenge.request["methodDetails"]["networkId"] == PROFILE


def test_without_a_profile_no_program_is_offered_a_card(program, till):
    till.terms = {**till.terms, "profile": ""}
    till.save()
    assert "WWW-Authenticate" not in get(program).headers


def test_it_pays_once(program, stripe):
    token = stripe.grant(100)
    paid = buys(program, token)
    assert (paid.status_code, paid.json()["sold"]) == (200, "item")
    (payment,) = Payment.objects.all()
    receipt = Receipt.from_payment_receipt(paid.headers["Payment-Receipt"])
    assert (receipt.method, receipt.reference) == ("stripe", payment.reference)
    assert payment.reference.startswith("pi_")
    assert (payment.state, payment.rail, payment.payer) == ("settled", "card", None)
    again = buys(program, token)
    assert (again.status_code, code(again)) == (403, "payment_already_used")
    assert "WWW-Authenticate" not in again.headers
    assert (len(charges(stripe)), CALLS["item"]) == (1, 1)


def test_it_is_confirmed_by_what_stripe_shows_with_its_fee(program, stripe):
    buys(program, stripe.grant(100))
    let_lapse()
    worker.confirm_payments()
    payment = Payment.objects.get()
    assert payment.state == "confirmed"
    assert str(payment.fee).startswith("0.33")


@pytest.mark.parametrize("card", sorted(DECLINES))
def test_a_card_that_is_declined_costs_nothing_and_the_offer_stands(program, stripe, card):
    refused = buys(program, stripe.grant(100, card=card))
    assert (refused.status_code, code(refused)) == (402, "settlement_refused")
    assert "WWW-Authenticate" in refused.headers
    assert DECLINES[card] not in refused.content.decode()
    assert Payment.objects.get().state == "failed"
    assert charges(stripe) == []
    assert buys(program, stripe.grant(100)).status_code == 200


def test_what_a_bank_asks_of_a_person_ends_it(program, stripe):
    refused = buys(program, stripe.grant(100, card="tok_3ds"))
    assert refused.status_code == 402
    assert Payment.objects.get().error_code == "authentication_required"
    (intent,) = [one for one in stripe.objects.values() if one["object"] == "payment_intent"]
    assert intent["status"] == "canceled"


@pytest.mark.parametrize("most", [99, 50])
def test_a_token_for_less_does_not_do(program, stripe, most):
    assert buys(program, stripe.grant(most)).status_code == 402
    assert charges(stripe) == []


@pytest.mark.parametrize("token", ["", "spt_nothing", "pi_123", "spt_x\n", 7, None])
def test_what_is_no_token_is_refused(program, stripe, token):
    refused = buys(program, token)
    assert refused.status_code == 402
    assert charges(stripe) == []


def test_who_brings_many_bad_ones_waits_and_no_view_runs_for_them(program, stripe):
    for number in range(UNKNOWN_PAYERS.most):
        assert buys(program, f"spt_made_up_{number}").status_code == 402
    CALLS.clear()
    refused = buys(program, "spt_made_up_too")
    assert (refused.status_code, code(refused)) == (429, "too_many_requests")
    assert not CALLS


def test_a_token_is_for_what_its_challenge_says(program, stripe):
    other = pays(get(program, ANOTHER), stripe.grant(100))
    refused = get(program, **other)
    assert (refused.status_code, code(refused)) == (402, "resource_mismatch")
    assert not Payment.objects.exists()


def test_the_same_token_in_another_challenge_is_the_same_payment(program, stripe):
    token = stripe.grant(500)
    assert buys(program, token).status_code == 200
    assert buys(program, token, ANOTHER).status_code == 402
    assert (len(charges(stripe)), Payment.objects.count()) == (1, 1)


@pytest.mark.parametrize("how", ["silent_after", "broken"])
def test_an_answer_that_does_not_come_is_asked_for_again_and_charged_once(program, stripe, how):
    token = stripe.grant(100)
    paying = pays(get(program), token)
    getattr(stripe, how).append("/payment_intents")
    # The look that follows at once finds it, or nobody knows yet.
    first = get(program, **paying)
    assert first.status_code in (200, 503)
    if first.status_code == 503:
        assert "WWW-Authenticate" not in first.headers
        assert Payment.objects.get().state == "settling"
        let_lapse()
        assert get(program, **paying).status_code == 200
    assert len(charges(stripe)) == 1


def test_while_stripe_is_down_nobody_knows_and_nobody_is_asked_to_pay_again(program, stripe):
    paying = pays(get(program), stripe.grant(100))
    stripe.is_down = True
    waits = get(program, **paying)
    assert (waits.status_code, code(waits)) == (503, "settlement_pending")
    let_lapse()
    worker.sweep()
    assert Payment.objects.get().state == "settling"
    stripe.is_down = False
    let_lapse()
    worker.sweep()
    assert charges(stripe) == [], "who may be gone is not charged"
    let_lapse()
    assert get(program, **paying).status_code == 200
    assert len(charges(stripe)) == 1


def test_one_that_nobody_asked_for_again_ends_when_its_key_does(program, stripe):
    stripe.is_down = True
    get(program, **pays(get(program), stripe.grant(100)))
    stripe.is_down = False
    Payment.objects.update(created_at=timezone.now() - timedelta(hours=24))
    let_lapse()
    worker.sweep()
    assert Payment.objects.get().state == "failed"
    assert charges(stripe) == []


@pytest.mark.django_db(transaction=True)
def test_many_with_one_token_are_one_payment(program, stripe):
    paying, found = pays(get(program), stripe.grant(100)), []

    def pay() -> None:
        found.append(get(Client(), **paying).status_code)

    at_once([pay] * 8)
    assert found.count(200) == 1
    assert set(found) <= {200, 403, 503}
    assert len(charges(stripe)) == 1


def test_it_is_refunded_and_disputed_like_any_other(program, stripe):
    buys(program, stripe.grant(100))
    let_lapse()
    worker.confirm_payments()
    payment = Payment.objects.get()
    request(payment, 40, "a part", seen=0)
    for _ in range(3):
        Refund.objects.update(due_at=timezone.now(), held_until=timezone.now())
        worker.see_to_refunds()
    assert Refund.objects.get().state == "confirmed"
    session = {"payment_intent": payment.reference}
    stripe.objects["cs_x"] = {"id": "cs_x", "object": "checkout.session", **session}
    stripe.dispute("cs_x")
    tell(stripe.last("charge.dispute.created"))
    assert Dispute.objects.get().payment == payment


def test_the_books_agree_with_stripes(program, stripe, capsys):
    buys(program, stripe.grant(100))
    let_lapse()
    worker.confirm_payments()
    call_command("paywall_reconcile")  # which ends badly where they differ
    assert "payments at Stripe" in capsys.readouterr().out


@pytest.mark.parametrize("profile", ["acct_1", "profile_", "profile_a b", "PROFILE_X1"])
def test_a_profile_has_stripes_spelling(till, profile):
    account = Account.objects.get()
    account.terms = {**account.terms, "profile": profile}
    with pytest.raises(ValidationError, match="profile"):
        account.clean()


def test_the_official_client_pays(program, stripe):
    """pympp's, with a token that its holder's own backend asks Stripe for."""

    async def create_token(asked: OnChallengeParameters) -> str:
        assert (asked.network_id, asked.currency) == (PROFILE, "usd")
        return str(stripe.grant(int(asked.amount), asked.currency))

    method = StripeMethod(create_token=create_token, payment_method="pm_card_visa")
    challenge = Challenge.from_www_authenticate(get(program).headers["WWW-Authenticate"])
    credential = asyncio.run(method.create_credential(challenge))
    assert get(program, Authorization=credential.to_authorization()).status_code == 200
