from __future__ import annotations

import json
import re
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db.models import CharField, ForeignKey, JSONField, TextField
from django.utils import timezone

from paywall import conf, ledger, pseudonyms
from paywall.models import (
    AccessPass,
    Alert,
    Audience,
    Balance,
    Exposure,
    FreeUse,
    Order,
    Payment,
    PaymentEvent,
    Receipt,
    Refund,
    RetentionMark,
)
from paywall.privacy import inventory, retention
from paywall.reports import rollups
from paywall.settlement import refunds
from paywall.testing.factories import PAYER
from tests.helpers import BLOCK, TX, claim

pytestmark = pytest.mark.django_db

EVERYTHING = dict.fromkeys(("payloads", "urls", "users", "wallets", "events"), 30)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def reader(db):
    return User.objects.create(username="ada")


def confirmed(item, identity: str = "", user: User | None = None) -> Payment:
    payment, _ = claim(item, identity or f"eip3009:eip155:84532:0xusdc:{PAYER.lower()}:0x01")
    ledger.settling([payment], 0, "default")
    ledger.settled([payment], BLOCK.reference)
    ledger.delivered(payment)
    ledger.confirmed([([payment], BLOCK)])
    Payment.objects.filter(pk=payment.pk).update(
        user=user, holder="h" * 64, idempotency_key=f"mine {payment.pk}", held_until=timezone.now()
    )
    payment.refresh_from_db()
    return payment


def age(days: int = 31) -> None:
    old = timezone.now() - timedelta(days=days)
    for model in (Payment, Order):
        model.objects.update(created_at=old)


def where(word: str) -> set[str]:
    """The columns of all tables in which a word stands."""
    found = set()
    for model in apps.get_app_config("paywall").get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, CharField | TextField | JSONField):
                for value in model._default_manager.values_list(field.attname, flat=True):
                    if word.lower() in json.dumps(value, default=str).lower():
                        found.add(f"{model.__name__}.{field.attname}")
    return found


# ---------------------------------------------------------------------------- By age


def test_without_the_setting_all_is_kept(item):
    confirmed(item)
    age(10_000)
    assert not retention.prune()
    assert Payment.objects.get().payload


def test_what_is_old_enough_is_forgotten_and_the_books_stay_whole(item, reader, paywall_settings):
    paywall_settings(RETENTION=EVERYTHING)
    payment = confirmed(item, user=reader)
    Alert.objects.create(key="x", kind="lost", title="t", text=f"Wallet: {PAYER}", payment=payment)
    rollups.roll_up()
    books = "price", "currency", "state", "reference", "captured", "settled_at", "confirmed_at"
    before = Payment.objects.values(*books).get()
    number = Receipt.objects.get().number
    assert where(PAYER)
    age(29)
    retention.prune()
    assert where(PAYER)
    age(31)
    RetentionMark.objects.all().delete()
    retention.prune()
    assert where(PAYER) == set()
    now = Payment.objects.get()
    assert Payment.objects.values(*books).get() == before
    assert (now.user, now.holder, now.url, now.payload, now.idempotency_key) == (
        *(None, "", "", None),
        "",
    )
    assert Receipt.objects.get().number == number == 1
    assert Receipt.objects.get().sold["url"] == ""
    assert Receipt.objects.get().sold["title"] == "Item"
    assert not PaymentEvent.objects.exists()
    assert now.payer == pseudonyms.of(PAYER)


@pytest.mark.parametrize("what", EVERYTHING)
def test_each_by_itself(item, reader, paywall_settings, what):
    paywall_settings(RETENTION={what: 30})
    confirmed(item, user=reader)
    age()
    retention.prune()
    payment = Payment.objects.get()
    gone = {
        "payloads": payment.payload is None,
        "urls": payment.url == "",
        "users": payment.user_id is None and payment.holder == "",
        "wallets": payment.payer != PAYER,
        "events": not payment.events.exists(),
    }
    also = {"payloads"} if what == "wallets" else set()  # it has the wallet in it
    assert {key for key, is_gone in gone.items() if is_gone} == {what} | also


def test_the_same_wallet_is_still_one_buyer(item, paywall_settings):
    paywall_settings(RETENTION={"wallets": 30})
    for number in range(3):
        confirmed(item, f"{number} {PAYER}")
    age()
    retention.prune()
    assert Payment.objects.values("payer").distinct().count() == 1
    assert Payment.objects.values("identity").distinct().count() == 3


def test_what_a_transfer_is_known_by_stays(item, paywall_settings):
    """Else the chain read again would count it twice."""
    paywall_settings(RETENTION={"wallets": 30})
    identity = f"transfer:eip155:84532/0xusdc/{TX}/0xours/0"
    confirmed(item, identity)
    age()
    retention.prune()
    assert Payment.objects.get().identity == identity


# ------------------------------------------------------------ What somebody still needs


def on_its_way(item):
    payment, _ = claim(item, f"a {PAYER}", hold=0)
    ledger.settling([payment], 0, "default")


def not_collected(item):
    payment, _ = claim(item, f"a {PAYER}", hold=0)
    ledger.settling([payment], 0, "default")
    ledger.settled([payment], BLOCK.reference)
    ledger.confirmed([([payment], BLOCK)])


def about_to_go_back(item):
    payment = confirmed(item)
    Refund.objects.create(payment=payment, amount="1", reason="r", is_ours_to_send=True)


def does_not_fit(item):
    payment = confirmed(item)
    order = Order.objects.create(
        resource=item,
        account=payment.account,
        method="GET",
        url="u",
        rail="evm",
        offer={},
        price=1,
        currency="USD",
        expires_at=timezone.now(),
    )
    order.misfits.add(payment)


@pytest.mark.parametrize("make", [on_its_way, not_collected, about_to_go_back, does_not_fit])
def test_it_is_not_forgotten(item, paywall_settings, make):
    make(item)
    age()
    Payment.objects.update(held_until=timezone.now())
    paywall_settings(RETENTION=EVERYTHING)
    before = Payment.objects.values().get()
    retention.prune()
    assert Payment.objects.values().get() == before


def test_whose_a_pass_is_stays_while_it_opens(make_resource, reader, paywall_settings):
    paywall_settings(RETENTION={"users": 30})
    payment = confirmed(make_resource(access="forever"), user=reader)
    mine, _ = AccessPass.objects.update_or_create(
        payment=payment, defaults={"user": reader, "holder": "h", "resource": payment.resource}
    )
    age()
    retention.prune()
    assert Payment.objects.get().user == AccessPass.objects.get().user == reader
    ledger.revoke(mine)
    later = timezone.now() - retention.WALK_AGAIN_AFTER - timedelta(hours=1)
    retention.prune()
    assert AccessPass.objects.get().user == reader  # it was walked past
    RetentionMark.objects.update(begun_at=later)
    retention.prune()
    assert AccessPass.objects.get().user is None
    assert Payment.objects.get().user is None


def test_without_a_node_what_is_settled_is_final(item, paywall_settings):
    payment, _ = claim(item, "one", hold=0)
    ledger.settling([payment], 0, "default")
    ledger.settled([payment], BLOCK.reference)
    ledger.delivered(payment)
    Payment.objects.update(held_until=timezone.now())
    age()
    paywall_settings(RETENTION={"payloads": 30}, RPC_URLS={"eip155:84532": "http://127.0.0.1:9"})
    retention.prune()
    assert Payment.objects.get().payload is not None
    RetentionMark.objects.all().delete()
    paywall_settings(RPC_URLS={})
    retention.prune()
    assert Payment.objects.get().payload is None


def test_a_forgotten_payment_is_not_refunded_to_nobody(item, paywall_settings):
    paywall_settings(RETENTION={"wallets": 30}, RPC_URLS={"eip155:84532": "http://127.0.0.1:9"})
    payment = confirmed(item)
    age()
    retention.prune()
    payment.refresh_from_db()
    with pytest.raises(refunds.RefundRefused, match="was forgotten"):
        refunds.request(payment, 1, "reason", seen=0, sent_in=TX)


def test_a_walk_goes_on_where_it_stopped(item, paywall_settings, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    for number in range(5):
        confirmed(item, f"{number} {PAYER}")
        age()
    paywall_settings(RETENTION={"payloads": 30})
    assert retention.prune(seconds=0) == {"payloads": 0}
    assert retention.prune()["payloads"] == 5
    assert retention.prune()["payloads"] == 0
    confirmed(item, f"new {PAYER}")
    age()
    assert retention.prune()["payloads"] == 1


def test_orders_that_nobody_paid_go_too(item, paywall_settings, account, reader):
    paywall_settings(RETENTION={"urls": 30, "users": 30})
    made = {"resource": item, "account": account, "method": "GET", "url": "u", "user": reader}
    terms = {"rail": "evm", "offer": {}, "price": 1, "currency": "USD", "holder": "h"}
    Order.objects.create(**made, **terms, state="expired", expires_at=timezone.now())
    Order.objects.create(**made, **terms, expires_at=timezone.now())
    age()
    retention.prune()
    assert list(Order.objects.order_by("pk").values_list("url", "user", "holder")) == [
        ("", None, ""),
        ("u", reader.pk, "h"),
    ]


# ------------------------------------------------------------------------- By request


def run(command: str, *arguments: str) -> tuple[str, int]:
    out = StringIO()
    try:
        call_command(command, *arguments, stdout=out)
    except SystemExit as exited:
        return out.getvalue(), int(str(exited.code))
    return out.getvalue(), 0


def test_a_user_is_forgotten_at_once(make_resource, reader):
    item = make_resource(access="forever")
    payment = confirmed(item, user=reader)
    AccessPass.objects.update_or_create(
        payment=payment, defaults={"user": reader, "resource": item}
    )
    Balance.objects.create(user=reader, currency="USD")
    said, code = run("paywall_forget", "--user", "ada", "--no-input")
    assert code == 0, said
    assert "Forgotten in 1 payments." in said
    assert "1 passes were closed." in said
    assert where(PAYER) == set()
    assert not AccessPass.objects.exists()
    assert Payment.objects.get().user is None
    assert Balance.objects.get().user is None
    known = json.loads(run("paywall_export", "--user", "ada")[0])
    assert set(map(len, known.values())) == {0}


def test_what_cannot_be_forgotten_yet_is_told(item, reader):
    payment, _ = claim(item, f"a {PAYER}", hold=0)
    Payment.objects.update(user=reader)
    Balance.objects.create(user=reader, currency="USD", units=500_000_000)
    said, code = run("paywall_forget", "--user", "ada", "--no-input")
    assert code == 1
    assert f"Not yet: payment {payment.pk} is claimed." in said
    assert "Not yet: 5.00 USD is on their balance." in said
    assert Payment.objects.get().user == reader
    assert Balance.objects.get().user == reader


def test_a_wallet_is_forgotten_with_its_credit_and_its_free_requests(item):
    confirmed(item)
    Exposure.objects.create(scope=f"{PAYER} USD")
    people_ = Audience.objects.create(name="a", kind="everyone")
    FreeUse.objects.create(resource=item, audience=people_, holder=PAYER, period="ever")
    said, code = run("paywall_forget", "--wallet", PAYER.lower(), "--no-input")
    assert (code, where(PAYER)) == (0, set()), said


def test_it_asks_first(item, monkeypatch):
    confirmed(item)
    monkeypatch.setattr("builtins.input", lambda question: "no")
    assert run("paywall_forget", "--wallet", PAYER) == ("Nothing was changed.\n", 0)
    assert where(PAYER)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--user", "nobody"), "There is no user 'nobody'."),
        (("--wallet", "nothing"), "'nothing' is no wallet"),
        ((), "one of the arguments"),
        (("--user", "a", "--wallet", "b"), "not allowed with"),
    ],
)
def test_who_is_nobody(db, arguments, says):
    for command in ("paywall_forget", "paywall_export"):
        with pytest.raises(CommandError, match=re.escape(says)):
            call_command(command, *arguments)


def test_an_export_has_all_that_is_known(item, reader):
    payment = confirmed(item, user=reader)
    known = json.loads(run("paywall_export", "--user", str(reader.pk))[0])
    [told] = known["payments"]
    assert (told["id"], told["payer"], told["resource"]) == (payment.pk, PAYER, "Item")
    assert told["receipt"]["number"] == 1
    assert [event["kind"] for event in told["events"]] == ["settling", "settled", "confirmed"]
    by_wallet = json.loads(run("paywall_export", "--wallet", PAYER)[0])
    assert by_wallet["payments"] == known["payments"]


def test_prune_by_hand(item, paywall_settings):
    assert "everything is kept" in run("paywall_prune")[0]
    confirmed(item)
    age()
    paywall_settings(RETENTION={"payloads": 30})
    assert run("paywall_prune")[0] == "payloads after 30 days: 1 rows were looked through.\n"


# --------------------------------------------------------------------- What is personal


def test_each_column_that_could_say_who_is_decided_about():
    decided = {
        f"{model}.{column}"
        for listed in (inventory.PERSONAL, inventory.OF_STAFF, inventory.PUBLIC)
        for model, columns in listed.items()
        for column in columns
    }
    found = set()
    for model in apps.get_app_config("paywall").get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, TextField | JSONField) or (
                isinstance(field, ForeignKey) and field.related_model is User
            ):
                found.add(f"{model.__name__}.{field.name}")
            if field.name in ("holder", "payer", "identity", "scope"):
                found.add(f"{model.__name__}.{field.name}")
    of_goods = {
        *("Account.terms", "Account.identity", "Account.proposed", "Dashboard.sold"),
        *("Resource.description", "Resource.interface", "FacilitatorHealth.supported"),
        *(
            "RollUp.on_balances",
            "Examination.findings",
            "Acknowledgement.losses",
            "BotSource.content",
        ),
    }
    assert found - decided == of_goods
    for name in decided:
        label, column = name.split(".")
        assert hasattr(apps.get_model("paywall", label), column)


def test_the_docs_list_what_is_personal():
    text = (ROOT / "docs" / "privacy.md").read_text()
    for model, columns in inventory.PERSONAL.items():
        for column in columns:
            assert f"`{model}.{column}`" in text


def test_a_setting_that_names_something_else_is_refused(paywall_settings):
    for wrong in ({"names": 3}, {"urls": 0}, {"urls": "3"}):
        paywall_settings(RETENTION=wrong)
        with pytest.raises(Exception, match="RETENTION"):
            conf.get()
