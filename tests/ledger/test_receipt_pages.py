"""What buyers see of their purchases: a page, the same as signed JSON, and a list."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import polib
import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.utils import timezone
from eth_account import Account as Wallet
from eth_account.messages import encode_defunct

import paywall
from paywall import ledger, site_key
from paywall.ledger import receipt_signature
from paywall.models import Receipt
from tests.helpers import BLOCK, claim

pytestmark = pytest.mark.django_db

LOCALE = Path(paywall.__file__).parent / "locale"
LANGUAGES = {"de": "Beleg", "es": "Recibo", "zh_Hans": "收据", "ja": "領収書"}
HTML = {"accept": "text/html"}


@pytest.fixture
def receipt(item):
    payment, _ = claim(item)
    ledger.settling([payment], 60, "default")
    ledger.settled([payment], BLOCK.reference)
    ledger.delivered(payment)
    ledger.confirmed([([payment], BLOCK)])
    return Receipt.objects.get()


def url(receipt: Receipt) -> str:
    return f"/paywall/receipts/{receipt.public_id}/"


def test_a_person_gets_a_page_and_a_program_json(receipt, client):
    page = client.get(url(receipt), headers=HTML)
    assert page.headers["Content-Type"].startswith("text/html")
    text = page.content.decode()
    assert "paid, for good" in text
    assert "0.01 USD" in text
    assert f"{url(receipt)}?format=json" in text
    assert client.get(url(receipt)).json()["number"] == 1
    assert client.get(f"{url(receipt)}?format=json", headers=HTML).json()["number"] == 1


def test_neither_says_more_of_the_buyer_than_was_given(receipt, client):
    payer = receipt.payment.payer
    for response in (client.get(url(receipt)), client.get(url(receipt), headers=HTML)):
        assert payer not in response.content.decode()
        assert f"{payer[:6]}…{payer[-4:]}" in response.content.decode()
        assert "noindex" in response.headers["X-Robots-Tag"]
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert "private" in response.headers["Cache-Control"]
        assert "Accept" in response.headers["Vary"]


def test_anybody_can_check_the_signature(receipt, client):
    document = client.get(url(receipt)).json()
    assert receipt_signature.is_genuine(document)
    signature = document.pop("signature")
    # As docs/selling.md says it, with no code of ours.
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    signer = Wallet.recover_message(encode_defunct(text=text), signature=signature["value"])
    assert signer == signature["signer"] == site_key.address()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(price="0.02"),
        lambda d: d["payment"].update(state="lost"),
        lambda d: d.pop("signature"),
        lambda d: d["signature"].update(value="0x" + "00" * 65),
        lambda d: d["signature"].update(value="nonsense"),
        lambda d: d.update(signature="x"),
        lambda d: d["signature"].update(signer="0x" + "1" * 40),
    ],
)
def test_what_was_changed_is_not_genuine(receipt, client, change):
    document = client.get(url(receipt)).json()
    change(document)
    assert not receipt_signature.is_genuine(document)


def test_a_key_of_the_owners_choice(paywall_settings):
    wallet = Wallet.create()
    paywall_settings(RECEIPT_KEY=wallet.key.hex())
    assert site_key.address() == wallet.address


def test_another_sites_key_is_another(settings):
    one = site_key.address()
    with override_settings(SECRET_KEY="another"):
        assert site_key.address() != one
    assert site_key.address() == one


@pytest.mark.parametrize(
    ("state", "words"),
    [("lost", "not paid"), ("settled", "not final yet")],
)
def test_the_page_does_not_say_paid_of_what_is_not(receipt, client, state, words):
    receipt.payment.__class__.objects.all().move(
        state, closed_at=timezone.now(), error_code="nothing_moved"
    )
    assert words in client.get(url(receipt), headers=HTML).content.decode()


def test_my_purchases(receipt, item):
    user = User.objects.create_user("ada")
    client = Client()
    assert client.get("/paywall/purchases/").status_code == 302
    client.force_login(user)
    assert "bought nothing here yet" in client.get("/paywall/purchases/").content.decode()
    receipt.payment.__class__.objects.update(user=user)
    page = client.get("/paywall/purchases/").content.decode()
    assert "Item" in page
    assert url(receipt) in page
    other = Client()
    other.force_login(User.objects.create_user("eve"))
    assert url(receipt) not in other.get("/paywall/purchases/").content.decode()


def test_purchases_take_as_many_queries_for_any_number(item, django_assert_num_queries):
    user = User.objects.create_user("ada")
    client = Client()
    client.force_login(user)
    for number in range(30):
        payment, _ = claim(item, str(number))
        ledger.settling([payment], 60, "default")
        ledger.settled([payment], BLOCK.reference)
        payment.user = user
        payment.save(update_fields=["user"])
    with django_assert_num_queries(5):
        first = client.get("/paywall/purchases/")
    assert len(first.context["receipts"]) == 25
    second = client.get(f"/paywall/purchases/?before={first.context['older']}")
    assert len(second.context["receipts"]) == 5
    assert client.get("/paywall/purchases/?before=x").status_code == 200


# ---------------------------------------------------------------------------- Languages

TEMPLATES = Path(paywall.__file__).parent / "templates" / "paywall"
BUYERS = (
    *(
        "payment_required.html",
        "receipt.html",
        "purchases.html",
        "receipt_mail.txt",
        "balance.html",
        "prices.html",
    ),
    *(path.name for path in (TEMPLATES / "checkout").glob("*.html")),
)
SPOKEN = ("checkout", "holders/adoption.py", "rails/evm/checkout.py", "views.py")
"""Code whose sentences buyers read."""


@pytest.mark.parametrize("language", LANGUAGES)
def test_buyers_are_spoken_to_in_their_language(receipt, language):
    code = language.replace("_", "-").lower()
    asked = {**HTML, "accept-language": code}
    with override_settings(
        MIDDLEWARE=["django.middleware.locale.LocaleMiddleware"], LANGUAGE_CODE="en"
    ):
        page = Client().get(url(receipt), headers=asked).content.decode()
    assert LANGUAGES[language] in page
    assert f'lang="{code}"' in page


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_that_buyers_see_is_left_untranslated(language):
    catalogue = polib.pofile(str(LOCALE / language / "LC_MESSAGES" / "django.po"))
    seen = [e for e in catalogue if any(Path(f).name in BUYERS for f, _ in e.occurrences)]
    assert len(seen) > 30
    assert [entry.msgid for entry in seen if not entry.translated()] == []
    assert [entry.msgid for entry in seen if entry.fuzzy] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_compiled_catalogue_is_the_written_one(language):
    folder = LOCALE / language / "LC_MESSAGES"
    written = {e.msgid: e.msgstr for e in polib.pofile(str(folder / "django.po")) if e.translated()}
    compiled = {e.msgid: e.msgstr for e in polib.mofile(str(folder / "django.mo"))}
    assert written == compiled


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_survive_translation(language):
    catalogue = polib.pofile(str(LOCALE / language / "LC_MESSAGES" / "django.po"))
    for entry in catalogue.translated_entries():
        names = re.compile(r"%\(\w+\)s|%s|%d|\{\w+\}")
        originals = {*names.findall(entry.msgid), *names.findall(entry.msgid_plural)}
        forms = list(entry.msgstr_plural.values()) or [entry.msgstr]
        # “One reader” needs no number; the others do.
        assert originals == set(names.findall(forms[-1])), entry.msgid


def test_every_string_of_the_buyers_pages_is_in_the_catalogues():
    """The catalogues were made from the templates as they are."""
    known = {e.msgid for e in polib.pofile(str(LOCALE / "de" / "LC_MESSAGES" / "django.po"))}
    for path in TEMPLATES.rglob("*"):
        if path.name not in BUYERS or path.parent.name in ("admin", "dashboard"):
            continue
        for string in re.findall(r"""{% translate ["'](.+?)["'] %}""", path.read_text()):
            assert string in known, (path, string)
    for sentence in spoken():
        assert sentence in known, sentence


def spoken() -> Iterator[str]:
    """What is said to buyers in code."""
    package = Path(paywall.__file__).parent
    for name in SPOKEN:
        found = package / name
        for path in found.glob("*.py") if found.is_dir() else [found]:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                    *("_", "gettext", "ngettext"),
                ):
                    first = node.args[0]
                    if isinstance(first, ast.Constant):
                        yield str(first.value)
