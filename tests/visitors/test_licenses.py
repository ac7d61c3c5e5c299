"""License tokens: who gets one, what it opens, and how often."""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Q
from django.test import Client
from django.utils import timezone

from paywall import ledger, settlement
from paywall.ledger import licenses, openings
from paywall.models import LicenseClient, LicenseToken, Payment, Resource
from paywall.settlement import worker
from paywall.testing import Buyer
from tests.doubles import failure
from tests.helpers import at_once, code
from tests.shop.views import CALLS

pytestmark = pytest.mark.django_db

TOKEN, INTROSPECT = "/paywall/olp/token", "/paywall/olp/introspect"
ITEM = "http://testserver/item/"


@pytest.fixture
def client_secret(db) -> tuple[LicenseClient, str]:
    found = LicenseClient.objects.create(name="Reader Ltd")
    return found, licenses.new_secret(found)


@pytest.fixture
def basic(client_secret) -> dict[str, str]:
    return credentials(client_secret[0].client_id, client_secret[1])


def credentials(client_id: str, secret: str) -> dict[str, str]:
    text = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {text}"}


def ask(headers: dict[str, str], resource: str = ITEM, **more: str) -> Any:
    data = {"grant_type": "client_credentials", "resource": resource, **more}
    return Client().post(TOKEN, data, headers=headers)


def buy(basic: dict[str, str], resource: str = ITEM) -> Any:
    offer = ask(basic, resource)
    assert offer.status_code == 402, offer.content
    return ask({**basic, **Buyer().pays(offer)}, resource)


def read(token: str, path: str = "/item/", method: str = "get", **headers: str) -> Any:
    ask_ = getattr(Client(), method)
    return ask_(path, headers={"Authorization": f"License {token}", **headers})


class TestGettingOne:
    def test_it_is_paid_for(self, item, basic, facilitator):
        paid = buy(basic)
        assert paid.status_code == 200
        told = paid.json()
        assert told["token_type"] == "License"
        assert told["access_token"].startswith("rsl_")
        assert 0 < told["expires_in"] <= 86_400
        assert "private" in paid.headers["Cache-Control"]
        assert "PAYMENT-RESPONSE" in paid.headers
        row = LicenseToken.objects.get()
        assert row.payment == Payment.objects.get()
        assert told["access_token"] not in repr(LicenseToken.objects.values().get())
        assert CALLS["item"] == 0, "the page itself was not asked for"

    def test_by_agreement_it_costs_nothing(self, item, basic, client_secret):
        client_secret[0].agreed.add(item)
        told = ask(basic).json()
        assert [read(told["access_token"]).status_code for _ in range(3)] == [200] * 3
        assert not Payment.objects.exists()

    def test_the_credentials_may_stand_in_the_form(self, item, client_secret):
        client, secret = client_secret
        assert ask({}, client_id=client.client_id, client_secret=secret).status_code == 402

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Authorization": "Basic nonsense"},
            {"Authorization": "Basic " + base64.b64encode(b"\xff:x").decode()},
            credentials("nobody", "x"),
            {"Authorization": "Bearer x"},
        ],
    )
    def test_strangers(self, item, headers):
        response = ask(headers)
        assert (response.status_code, response.json()["error"]) == (401, "invalid_client")
        assert response.headers["WWW-Authenticate"].startswith("Basic")

    def test_a_wrong_secret_or_one_of_before(self, item, client_secret):
        client, before = client_secret
        licenses.new_secret(client)
        for secret in (before, "", "x"):
            assert ask(credentials(client.client_id, secret)).status_code == 401

    def test_a_client_that_is_switched_off(self, item, basic):
        LicenseClient.objects.update(active=False)
        assert ask(basic).status_code == 401

    @pytest.mark.parametrize(
        "resource",
        [
            "",
            "/no/such/page/",
            "http://other.example/item/",
            "/free/sync/",
            "/admin/",
            "/paywall/prices/",
            "javascript:x",
        ],
    )
    def test_nothing_is_sold_there(self, item, basic, resource):
        response = ask(basic, resource)
        assert (response.status_code, response.json()["error"]) == (400, "invalid_target")

    def test_what_cannot_be_paid_by_a_token(self, make_resource, basic):
        make_resource("item", by_use=True)
        assert ask(basic).json()["error"] == "invalid_target"
        Resource.objects.update(active=False)
        assert ask(basic).json()["error"] == "invalid_target"

    @pytest.mark.django_db(transaction=True)
    def test_no_transaction_is_open_while_the_money_is_taken(
        self, item, basic, facilitator, monkeypatch
    ):
        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
        open_ = []
        settle = settlement.settle

        def watched(*args: Any, **kwargs: Any) -> Any:
            open_.append(connection.in_atomic_block)
            return settle(*args, **kwargs)

        monkeypatch.setattr(settlement, "settle", watched)
        assert buy(basic).status_code == 200
        assert open_ == [False]

    def test_another_grant(self, item, basic):
        assert ask(basic, grant_type="password").json()["error"] == "unsupported_grant_type"
        assert Client().get(TOKEN).status_code == 405

    def test_a_path_rule(self, basic, make_resource, facilitator):
        make_resource("archive", path="/free/**")
        told = buy(basic, "http://testserver/free/sync/?page=2").json()
        assert LicenseToken.objects.get().resource.slug == "archive"
        assert told["token_type"] == "License"

    def test_who_is_let_in_already_gets_no_token_besides(self, make_resource, basic, facilitator):
        """A pass is worth what it is: no token is made of it, and of that no other."""
        make_resource("item", access="period", pass_seconds=60)
        client = Client()
        client.get("/item/", headers=Buyer().pays(client.get("/item/")))
        data = {"grant_type": "client_credentials", "resource": ITEM}
        response = client.post(TOKEN, data, headers=basic)
        assert (response.status_code, response.json()["error"]) == (403, "access_denied")
        assert not LicenseToken.objects.exists()

    def test_a_token_buys_no_token(self, item, client_secret, facilitator):
        client, secret = client_secret
        text = buy(credentials(client.client_id, secret)).json()["access_token"]
        again = ask(
            {"Authorization": f"License {text}"},
            client_id=client.client_id,
            client_secret=secret,
        )
        assert again.status_code == 403
        assert LicenseToken.objects.count() == 1
        assert read(text).status_code == 200, "and it is not used up by that"

    def test_a_payment_that_fails_makes_no_token_that_opens_anything(
        self, item, basic, facilitator
    ):
        facilitator.settle = failure("insufficient_funds")
        assert buy(basic).status_code == 402
        for row in LicenseToken.objects.all():
            assert not licenses._is_good(row)


class TestUsingOne:
    def test_once_for_one_request(self, item, basic, facilitator):
        text = buy(basic).json()["access_token"]
        assert read(text).status_code == 200
        again = read(text)
        assert (again.status_code, code(again)) == (402, "license_invalid")
        assert 'License error="invalid_token"' in again.headers["WWW-Authenticate"]
        assert again.headers["PAYMENT-REQUIRED"], "and it can be paid for at once"

    def test_a_question_uses_nothing_up(self, item, basic, facilitator):
        text = buy(basic).json()["access_token"]
        assert read(text, method="head").status_code == 200
        assert read(text).status_code == 200

    def test_a_view_that_fails_gives_it_back(self, make_resource, client_secret):
        broken = make_resource("failing", path="/free/broken/")
        text, row = licenses.issue(client_secret[0], _sale(broken), None)
        assert row.uses_left == 1
        client = Client(raise_request_exception=False)
        headers = {"Authorization": f"License {text}"}
        assert client.get("/free/broken/", headers=headers).status_code >= 400
        assert LicenseToken.objects.get().uses_left == 1

    def test_for_the_time_of_a_pass(self, make_resource, basic, facilitator):
        make_resource("item", access="period", pass_seconds=60)
        told = buy(basic).json()
        assert 50 <= told["expires_in"] <= 60
        assert [read(told["access_token"]).status_code for _ in range(3)] == [200] * 3
        LicenseToken.objects.update(expires_at=timezone.now())
        assert read(told["access_token"]).status_code == 402

    def test_something_else(self, item, make_resource, basic, facilitator):
        make_resource("absent")
        make_resource("other", path="/free/**")
        text = buy(basic, "/free/sync/").json()["access_token"]
        wrong = read(text)
        assert (wrong.status_code, code(wrong)) == (403, "license_of_something_else")
        assert 'License error="insufficient_scope"' in wrong.headers["WWW-Authenticate"]

    @pytest.mark.parametrize("text", ["", "x", "rsl_" + "A" * 43, "é" * 10, "x" * 5_000])
    def test_nonsense(self, item, text):
        response = read(text)
        assert (response.status_code, code(response)) == (402, "license_invalid")

    def test_of_a_client_that_is_switched_off(self, item, basic, facilitator):
        text = buy(basic).json()["access_token"]
        LicenseClient.objects.update(active=False)
        assert read(text).status_code == 402

    def test_revoked(self, item, basic, facilitator):
        text = buy(basic).json()["access_token"]
        assert licenses.revoke(Q()) == 1
        assert read(text).status_code == 402

    def test_its_payment_was_lost_or_given_back(self, item, basic, facilitator):
        text = buy(basic).json()["access_token"]
        payment = Payment.objects.get()
        openings.close(payment)
        assert read(text).status_code == 402
        openings.reopen(payment, passes=True)
        assert licenses.find(text) is not None
        ledger.lost(payment, "nothing_moved")
        assert read(text).status_code == 402

    def test_with_a_payment_it_is_the_payment_that_counts(self, item, basic, facilitator):
        text = buy(basic).json()["access_token"]
        paying = Buyer().pays(Client().get("/item/"))
        assert read(text, **paying).status_code == 200
        assert Payment.objects.count() == 2
        assert LicenseToken.objects.get().uses_left == 1

    def test_old_ones_are_forgotten(self, item, basic, facilitator):
        buy(basic)
        LicenseToken.objects.update(expires_at=timezone.now() - timedelta(days=2))
        worker.sweep()
        assert not LicenseToken.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_is_served(item, basic, facilitator):
    text = buy(basic).json()["access_token"]
    statuses: list[int] = []
    at_once([lambda: statuses.append(read(text).status_code)] * 6)
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 402, 503}


class TestIntrospection:
    def look(self, basic: dict[str, str], **data: str) -> Any:
        return Client().post(INTROSPECT, data, headers=basic)

    def test_a_good_one(self, item, basic, facilitator, client_secret):
        text = buy(basic).json()["access_token"]
        told = self.look(basic, token=text, resource=ITEM).json()
        assert (told["active"], told["permitted"], told["token_type"]) == (True, True, "License")
        assert told["client_id"] == client_secret[0].client_id
        assert read(text).status_code == 200, "looking uses nothing up"
        assert self.look(basic, token=text).json() == {"active": False}

    def test_of_something_else(self, item, make_resource, basic, facilitator):
        make_resource("other", path="/free/**")
        text = buy(basic).json()["access_token"]
        told = self.look(basic, token=text, resource="/free/sync/").json()
        assert (told["active"], told["permitted"]) == (True, False)

    def test_of_somebody_else(self, item, basic, facilitator):
        text = buy(basic).json()["access_token"]
        other = LicenseClient.objects.create(name="Other")
        theirs = credentials(other.client_id, licenses.new_secret(other))
        assert self.look(theirs, token=text).json() == {"active": False}
        assert self.look({}, token=text).status_code == 401


@pytest.mark.django_db(transaction=True)
class TestDesk:
    """With transactions as the admin has them: around all that a form does."""

    def test_a_client_is_made_and_its_secret_shown_once(self, admin_client, item):
        url = "/admin/paywall/licenseclient/"
        data = {"name": "Reader Ltd", "active": "on"}
        page = admin_client.post(f"{url}add/", data, follow=True).content.decode()
        made = LicenseClient.objects.get()
        found = re.search(r"client id (\S+), secret (\S+)\. ", page)
        assert found is not None
        assert licenses.client(found[1], found[2]) == made
        again = admin_client.get(f"{url}{made.pk}/change/").content.decode()
        assert made.secret_hash not in again
        chosen = {"action": "renew_secret", "_selected_action": [str(made.pk)]}
        before = made.secret_hash
        admin_client.post(url, chosen)
        made.refresh_from_db()
        assert made.secret_hash != before

    def test_tokens_are_revoked(self, admin_client, item, basic, facilitator):
        text = buy(basic).json()["access_token"]
        url = "/admin/paywall/licensetoken/"
        chosen = {"action": "revoke", "_selected_action": [str(LicenseToken.objects.get().pk)]}
        admin_client.post(url, chosen)
        assert read(text).status_code == 402


def _sale(resource: Resource) -> Any:
    from paywall.catalog import offers

    return offers.get(resource.pk)
