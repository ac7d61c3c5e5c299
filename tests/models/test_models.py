"""What the database itself refuses, whatever form or script writes to it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from paywall.models import Account, Payment, PaymentEvent, Price, Receipt, Refund, Resource
from paywall.models.payments import State
from paywall.models.unguessable import unguessable
from paywall.rails.evm.terms import account_for
from paywall.rails.evm.tokens import TOKENS
from tests.conftest import PAY_TO

pytestmark = pytest.mark.django_db


def refused_by_the_database(make):
    with pytest.raises(IntegrityError), transaction.atomic():
        make()


# ----------------------------------------------------------------------------- Resources


def test_a_pass_for_a_time_needs_its_duration():
    refused_by_the_database(lambda: Resource.objects.create(slug="a", title="A", access="period"))
    refused_by_the_database(
        lambda: Resource.objects.create(slug="a", title="A", access="period", pass_seconds=0)
    )
    refused_by_the_database(lambda: Resource.objects.create(slug="a", title="A", pass_seconds=60))
    Resource.objects.create(slug="a", title="A", access="period", pass_seconds=60)


def test_policies_are_known():
    refused_by_the_database(lambda: Resource.objects.create(slug="a", title="A", policy="never"))


def test_slugs_are_unique():
    Resource.objects.create(slug="a", title="A")
    refused_by_the_database(lambda: Resource.objects.create(slug="a", title="B"))


# -------------------------------------------------------------------------------- Prices


def test_a_price_is_never_edited(item):
    price = item.prices.get()
    price.amount = Decimal("0.02")
    with pytest.raises(TypeError, match="superseded"):
        price.save()
    with pytest.raises(TypeError, match="superseded"):
        Price.objects.filter(resource=item).update(amount=Decimal("0.02"))
    with pytest.raises(TypeError, match="superseded"), transaction.atomic():
        Price.objects.bulk_update([price], ["amount"])
    price.refresh_from_db()
    assert price.amount == Decimal("0.01")


@pytest.mark.parametrize("amount", ["0", "-1"])
def test_a_price_is_more_than_nothing(item, amount):
    refused_by_the_database(lambda: Price.objects.create(resource=item, amount=Decimal(amount)))


def test_a_currency_is_three_capital_letters(item):
    refused_by_the_database(
        lambda: Price.objects.create(resource=item, amount=Decimal(1), currency="usd")
    )


def test_the_price_in_force_is_the_newest_that_has_begun(item):
    now = timezone.now()
    for hours, amount in [(-2, "1"), (-1, "2"), (1, "3")]:
        Price.objects.create(
            resource=item, amount=Decimal(amount), valid_from=now + timedelta(hours=hours)
        )
    Price.objects.create(resource=item, amount=Decimal(9), currency="EUR")
    in_force = item.current_price("USD")
    assert in_force is not None
    assert in_force.amount == Decimal("0.01")  # the fixture's, of this moment
    assert item.current_price("USD", now - timedelta(minutes=30)).amount == 2
    assert item.current_price("USD", now + timedelta(hours=2)).amount == 3
    assert item.current_price("USD", now - timedelta(days=1)) is None
    assert item.current_price("EUR").amount == 9


def test_of_two_prices_of_one_moment_the_later_written_is_in_force(item):
    moment = timezone.now()
    Price.objects.create(resource=item, amount=Decimal(1), valid_from=moment)
    Price.objects.create(resource=item, amount=Decimal(2), valid_from=moment)
    assert item.current_price().amount == 2


def test_an_offer_needs_an_account_of_the_same_currency(item):
    with pytest.raises(ValidationError, match="no enabled account in EUR"):
        Price(resource=item, amount=Decimal(1), currency="EUR").full_clean()
    Price(resource=item, amount=Decimal(1), currency="USD").full_clean()


def test_a_price_that_the_token_cannot_pay_is_refused(item):
    with pytest.raises(ValidationError, match="smallest unit"):
        Price(resource=item, amount=Decimal("0.0000001")).full_clean()


# ------------------------------------------------------------------------------ Accounts


def test_an_account_from_a_preset_needs_only_the_address():
    account = account_for("eurc-base", PAY_TO.lower())
    account.full_clean()
    account.save()
    assert account.terms["pay_to"] == PAY_TO
    assert (account.network, account.currency, account.decimals) == ("eip155:8453", "EUR", 6)
    assert str(account) == "EURC on Base to 0x7099…79C8"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("pay_to", "0x" + "0" * 40, "zero address"),
        ("pay_to", "0x70997970C51812dc3A010C7d01b50e0d17dc79c8", "mistyped"),
        ("pay_to", "vitalik.eth", "40 hex digits"),
        ("pay_to", TOKENS["usdc-base"].asset, "token's contract"),
        ("network", "base", "CAIP-2"),
        ("network", "solana:mainnet", "CAIP-2"),
        ("currency", "usd", "ISO 4217"),
        ("confirmations", 0, "1 at least"),
        ("finalized", "yes", "True or False"),
        ("eip712_name", "", "100 characters"),
        ("nonsense", 1, "Not known"),
        ("decimals", 77, "less than or equal"),
    ],
)
def test_nonsense_is_refused_by_forms(field, value, message):
    account = account_for("usdc-base", PAY_TO)
    if field in account.terms or field in ("nonsense", "finalized"):
        account.terms[field] = value
    else:
        setattr(account, field, value)
    with pytest.raises(ValidationError, match=message):
        account.full_clean()


def test_nonsense_is_refused_by_the_database(account):
    for change in [{"identity": ""}, {"currency": "us"}]:
        refused_by_the_database(lambda change=change: Account.objects.update(**change))
    refused_by_the_database(lambda: Account.objects.update(enabled=False))


def test_what_buyers_sign_is_fixed(account):
    account = Account.objects.get()
    account.terms["pay_to"] = "0x" + "11" * 20
    with pytest.raises(TypeError, match="Add another account"):
        account.save()
    account.refresh_from_db()
    account.terms["confirmations"] = 3
    account.save()


def test_a_disabled_account_says_since_when(account):
    account.enabled = False
    account.save()
    since = Account.objects.get().disabled_at
    assert since is not None
    account.save()
    assert Account.objects.get().disabled_at == since
    account.enabled = True
    account.save(update_fields=["enabled"])
    assert Account.objects.get().disabled_at is None


@pytest.mark.parametrize(
    ("amount", "atomic"),
    [("0.01", 10_000), ("1", 10**6), ("0.000001", 1), ("0.0000001", None), ("0", None)],
)
def test_amounts_are_exact(account, amount, atomic):
    assert account.atomic(Decimal(amount)) == atomic


# ------------------------------------------------------------------------------ Payments


@pytest.fixture
def payment(item, account):
    return make_payment(item, account)


def make_payment(item, account, identity="one", **changes):
    now = timezone.now()
    fields = {
        "identity": identity,
        "resource": item,
        "account": account,
        "method": "GET",
        "url": "http://testserver/item/",
        "protocol": "x402/2",
        "offer": {},
        "payload": {},
        "network": account.network,
        "payer": PAY_TO,
        "rail": "evm",
        "authorized": "10000",
        "price": Decimal("0.01"),
        "currency": "USD",
        "held_until": now,
        "due_at": now,
        "expires_at": now,
        **changes,
    }
    return Payment.objects.create(**fields)


def test_one_authorization_is_one_payment(payment, item, account):
    refused_by_the_database(lambda: make_payment(item, account))


@pytest.mark.parametrize(
    "change",
    [
        {"state": "paid"},
        {"state": "settled"},
        {"state": "settled", "settled_at": timezone.now()},
        {"state": "settled", "settled_at": timezone.now(), "captured": "5"},
        {"state": "settled", "settled_at": timezone.now(), "reference": "0x1"},
        {
            "state": "confirmed",
            "settled_at": timezone.now(),
            "reference": "0x1",
            "captured": "5",
        },
        {"state": "failed"},
        {"state": "failed", "closed_at": timezone.now()},
        {"state": "lost", "error_code": "nothing_moved"},
        {"delivered_at": timezone.now()},
        {"authorized": "0"},
        {"authorized": "1e3"},
        {"authorized": ""},
        {"captured": "-1"},
        {"captured": ""},
    ],
)
def test_a_payment_is_never_half_of_something(payment, change):
    state = change.get("state", payment.state)
    rest = {name: value for name, value in change.items() if name != "state"}
    refused_by_the_database(lambda: Payment.objects.all().move(state, **rest))


def test_only_the_ledger_writes_a_state(payment):
    """Not by promise: whoever else tries gets an error, and nothing is written."""
    payment.state = "confirmed"
    refund = Refund.objects.create(
        payment=payment, amount="1", reason="x", is_ours_to_send=False, reference="0x2"
    )
    for attempt in (
        lambda: Payment.objects.update(state="confirmed"),
        lambda: Payment.objects.filter(pk=payment.pk).update(state="confirmed", reference="0x1"),
        lambda: Payment.objects.bulk_update([payment], ["state"]),
        lambda: payment.save(),
        lambda: payment.save(update_fields=["state"]),
        lambda: Refund.objects.update(state="confirmed"),
        lambda: Refund.objects.bulk_update([], ["state"]),
        lambda: refund.save(),
    ):
        with pytest.raises(TypeError, match=r"Only paywall\.(ledger|refunds)"):
            attempt()
    assert Payment.objects.get().state == "claimed"
    payment.refresh_from_db()
    payment.save(update_fields=["price"])


def test_amounts_of_256_bits_are_kept_exactly(item, account):
    make_payment(item, account, "huge", authorized=str(2**256 - 1))
    assert int(Payment.objects.get(identity="huge").authorized) == 2**256 - 1


def test_events_are_append_only(payment):
    event = PaymentEvent.objects.create(payment=payment, kind="claimed")
    event.kind = "other"
    with pytest.raises(TypeError, match="append-only"):
        event.save()


def test_a_payment_has_one_receipt_and_a_number_once(payment, item, account):
    Receipt.objects.create(payment=payment, sold={}, number=1)
    refused_by_the_database(lambda: Receipt.objects.create(payment=payment, sold={}))
    other = make_payment(item, account, "two")
    refused_by_the_database(lambda: Receipt.objects.create(payment=other, sold={}, number=1))
    refused_by_the_database(lambda: Receipt.objects.create(payment=other, sold={}, number=0))
    assert len(Receipt.objects.create(payment=other, sold={}).public_id) >= 22


def test_what_was_sold_cannot_be_deleted(payment, item, account):
    for row in (item, account):
        with pytest.raises(IntegrityError), transaction.atomic():
            row.delete()


def test_the_owner_is_shown_what_only_a_person_can_resolve(item, account):
    now = timezone.now()
    old, fresh = now - timedelta(hours=1), now + timedelta(minutes=5)
    make_payment(item, account, "stuck", state=State.SETTLING, expires_at=old)
    make_payment(item, account, "under way", state=State.SETTLING, expires_at=fresh)
    make_payment(
        item, account, "lost", state=State.LOST, error_code="x", closed_at=now, reference="0x1"
    )
    closed = {"state": State.FAILED, "error_code": "x", "closed_at": now}
    make_payment(item, account, "given", on_credit=True, delivered_at=now, **closed)
    make_payment(item, account, "refused", **closed)
    identities = Payment.objects.needing_attention().values_list("identity", flat=True)
    assert set(identities) == {"stuck", "lost", "given"}


def test_a_public_id_begins_with_a_letter_or_a_digit(monkeypatch):
    made = iter(["-dash", "_line", "=sum", "fine"])
    monkeypatch.setattr("secrets.token_urlsafe", lambda size: next(made))
    assert unguessable() == "fine"
