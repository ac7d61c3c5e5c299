"""`paywall.testing`: what a site's own tests have, used as they use it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from x402.mechanisms.evm import constants as official

from paywall import testing
from paywall.models import Account, Payment, Receipt
from paywall.models.payments import State
from paywall.settlement import worker
from paywall.testing import factories
from tests.helpers import code, let_lapse

ROOT = Path(__file__).parent.parent


@pytest.fixture
def sold(paid_client):
    factories.make_resource("item")
    return paid_client


def test_the_client_pays_and_is_confirmed(sold):
    response = sold.get("/item/?city=Porto", headers={"X-Own": "kept"})
    assert response.json() == {"sold": "item", "query": {"city": "Porto"}}
    assert sold.unpaid.status_code == 402
    payment = Payment.objects.get()
    assert (payment.state, payment.payer) == ("settled", sold.buyer.account.address)
    assert worker.confirm_payments() == {"confirmed": 1}
    assert Receipt.objects.get().number == 1


def test_what_is_free_is_not_paid(sold):
    assert sold.get("/free/sync/").status_code == 200
    assert sold.unpaid is None


def test_a_body_is_sent_twice(sold):
    factories.make_resource("created")
    assert sold.post("/created/", {"a": 1}, content_type="application/json").status_code == 201


def test_a_payment_of_ones_own_is_not_paid_over(sold):
    first = sold.get("/item/")
    assert first.status_code == 200
    again = sold.get("/item/", headers=sold.paid)
    assert (again.status_code, code(again)) == (409, "payment_already_used")


def test_it_is_sold_by_use(sold):
    factories.make_resource("metered", price="0.05", by_use=True)
    response = sold.get("/metered/?use=0.0123")
    assert response.status_code == 200
    payment = Payment.objects.get()
    assert (payment.state, int(payment.captured)) == ("settled", 12_300)


def test_a_refusal(sold, paywall_facilitator):
    paywall_facilitator.refuses("insufficient_funds")
    response = sold.get("/item/")
    assert (response.status_code, code(response)) == (402, "settlement_refused")
    paywall_facilitator.works()
    assert sold.get("/item/").status_code == 200


def test_who_has_nothing_is_refused(sold, paywall_facilitator):
    paywall_facilitator.chain.balances[sold.buyer.account.address] = 9_999
    assert sold.get("/item/").status_code == 402


def test_it_is_down(sold, paywall_facilitator):
    paywall_facilitator.is_down()
    assert sold.get("/item/").status_code == 503
    assert Payment.objects.get().state != "settled"


def test_an_unknown_outcome(sold, paywall_facilitator, freeze_chain):
    paywall_facilitator.loses_its_answers()
    with freeze_chain():
        assert code(sold.get("/item/")) == "settlement_pending"
        assert Payment.objects.get().state == "settling"
    let_lapse()
    worker.sweep()
    assert Payment.objects.get().state == "settled"
    assert sold.get("/item/", headers=sold.paid).status_code == 200


def test_a_lost_answer_is_found_on_the_chain(sold, paywall_facilitator):
    paywall_facilitator.loses_its_answers()
    assert sold.get("/item/").status_code == 200


def test_a_chain_that_stands_still(sold, freeze_chain):
    with freeze_chain():
        assert sold.get("/item/").status_code == 200
        worker.confirm_payments()
        assert Payment.objects.get().state == "settled"
    worker.confirm_payments()
    assert Payment.objects.get().state == "confirmed"


def test_a_forged_payment_is_refused(sold, paywall_facilitator):
    """It says yes to nothing that a real one would not."""
    assert sold.get("/item/").status_code == 200
    path, settled = next(one for one in paywall_facilitator.asked if one[0] == "/settle")
    forged = json.loads(json.dumps(settled))
    forged["paymentRequirements"]["payTo"] = sold.buyer.account.address
    assert paywall_facilitator.answer(path, forged)[1]["success"] is False
    assert paywall_facilitator.answer(path, settled)[1]["errorReason"] == (
        "invalid_exact_evm_nonce_already_used"
    )


@pytest.mark.parametrize("state", factories.STATES)
def test_a_payment_in_each_state(db, state):
    factories.make_account()
    payment = factories.make_payment(factories.make_resource("yearly", price="1.50"), state)
    assert (payment.state, int(payment.authorized)) == (state, 1_500_000)
    paid = state in (State.SETTLED, State.CONFIRMED)
    assert Receipt.objects.filter(payment=payment).exists() is paid
    assert (payment.delivered_at is not None) is paid


def test_what_factories_cannot_make(db):
    with pytest.raises(ValueError, match="no coin"):
        factories.make_account("doge")
    with pytest.raises(ValueError, match="40 hex digits"):
        factories.make_account(wallet="0x1")
    factories.make_account()
    with pytest.raises(ValueError, match="make_payment makes"):
        factories.make_payment(factories.make_resource("x"), "lost")
    assert Account.objects.count() == 1


def test_what_is_signed_is_what_the_official_package_says():
    assert testing.PERMIT2 == official.PERMIT2_ADDRESS
    assert testing.PROXY_UP_TO == official.X402_UPTO_PERMIT2_PROXY_ADDRESS
    assert testing.UP_TO_TYPES == official.UPTO_PERMIT2_WITNESS_TYPES


SITE = {
    "site_settings.py": """
SECRET_KEY = "for a test"
ROOT_URLCONF = "site_urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.admin",
                  "django.contrib.sessions", "django.contrib.messages", "paywall"]
""",
    "site_urls.py": """
from django.http import JsonResponse
from django.urls import include, path
from paywall.decorators import payment_required


@payment_required("report", price="0.25")
def report(request):
    return JsonResponse({"sold": True})


urlpatterns = [path("report/", report), path("paywall/", include("paywall.urls"))]
""",
    "pytest.ini": """
[pytest]
DJANGO_SETTINGS_MODULE = site_settings
pythonpath = .
""",
}


def snippets():
    """The docs' own, one after the other."""
    text = (ROOT / "docs" / "selling.md").read_text()
    section = text.split("## Testing your site")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


@pytest.mark.slow
def test_the_snippets_of_the_docs_work_alone(tmp_path):
    """In a site that is nothing else: pytest finds the fixtures by itself."""
    for name, text in SITE.items():
        (tmp_path / name).write_text(text)
    for number, snippet in enumerate(snippets()):
        (tmp_path / f"test_{number}.py").write_text(snippet)
    own = {key: value for key, value in os.environ.items() if "PYTEST" not in key}
    own.pop("DJANGO_SETTINGS_MODULE", None)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env=own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "3 passed" in run.stdout
