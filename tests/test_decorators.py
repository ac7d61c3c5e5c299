from __future__ import annotations

from decimal import Decimal

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.http import require_POST

from paywall.catalog import declarations, offers
from paywall.decorators import payment_required
from paywall.models import Payment, Price, Resource

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_declarations(monkeypatch):
    monkeypatch.setattr(declarations, "_declared", dict(declarations._declared))


def view(request: HttpRequest, *args: object) -> HttpResponse:
    return HttpResponse("in")


def get(sold, **kwargs):
    return sold(RequestFactory().get("/item/", **kwargs))


# -------------------------------------------------------------------------------- Naming


def test_a_callable_may_say_which_resource(item, buyer, facilitator):
    sold = payment_required(lambda request: item)(view)
    challenge = get(sold)
    assert challenge.status_code == 402
    assert get(sold, headers=buyer.pays(challenge)).status_code == 200


def test_an_async_callable_may_say_so_to_an_async_view(item, buyer, facilitator):
    async def find(request: HttpRequest) -> Resource:
        return await Resource.objects.aget(slug="item")

    async def async_view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("in")

    sold = payment_required(find)(async_view)
    challenge = get(async_to_sync(sold))
    assert get(async_to_sync(sold), headers=buyer.pays(challenge)).content == b"in"


def test_a_sync_callable_may_query_for_an_async_view(item, buyer, facilitator):
    async def async_view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("in")

    sold = payment_required(lambda request: Resource.objects.get(slug="item"))(async_view)
    assert get(async_to_sync(sold)).status_code == 402


@pytest.mark.parametrize("nonsense", [None, 7, Resource(slug="unsaved")])
def test_a_callable_that_finds_nothing_sells_nothing(nonsense, caplog):
    sold = payment_required(lambda request: nonsense)(view)
    assert get(sold).status_code == 503
    assert "no saved Resource" in caplog.text


def test_an_inactive_object_sells_nothing(item):
    sold = payment_required(lambda request: item)(view)
    item.active = False
    item.save()
    assert get(sold).status_code == 503


def test_methods_of_class_based_views(item, buyer, facilitator):
    @method_decorator(payment_required("item"), name="dispatch")
    class Page(View):
        def post(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("posted")

    sold = Page.as_view()
    assert sold.csrf_exempt
    request = RequestFactory().post("/item/")
    challenge = sold(request)
    assert challenge.status_code == 402
    paid = sold(RequestFactory().post("/item/", headers=buyer.pays(challenge)))
    assert paid.content == b"posted"


def test_other_decorators_may_stand_on_either_side(item, buyer, facilitator):
    for sold in (
        require_POST(payment_required("item")(view)),
        payment_required("item")(require_POST(view)),
    ):
        challenge = sold(RequestFactory().post("/item/"))
        assert challenge.status_code == 402
    outside, inside = (
        require_POST(payment_required("item")(view)),
        payment_required("item")(require_POST(view)),
    )
    assert get(outside).status_code == 405
    refused = get(inside, headers=buyer.pays(get(inside)))
    assert refused.status_code == 405
    assert Payment.objects.get().state == "failed"


def test_the_view_keeps_its_name():
    sold = payment_required("item")(view)
    assert sold.__name__ == "view"
    assert sold.__wrapped__ is view


# ---------------------------------------------------------------------------- Declaring


def test_migrate_makes_what_the_code_declares(account):
    Resource.objects.filter(slug="declared").delete()
    call_command("migrate", verbosity=0)
    resource = Resource.objects.get(slug="declared")
    assert (resource.title, resource.policy) == ("Declared in code", "before")
    assert resource.current_price().amount == Decimal("0.03")
    assert Client().get("/declared/").status_code == 402


def test_from_then_on_the_admin_rules(account, capsys):
    Resource.objects.filter(slug="declared").delete()
    call_command("paywall_sync")
    assert "made declared" in capsys.readouterr().out
    Resource.objects.filter(slug="declared").update(title="Changed")
    resource = Resource.objects.get(slug="declared")
    Price.objects.create(resource=resource, amount=Decimal("0.09"))
    call_command("paywall_sync")
    assert "All declared resources exist" in capsys.readouterr().out
    resource.refresh_from_db()
    assert resource.title == "Changed"
    assert resource.current_price().amount == Decimal("0.09")
    assert resource.prices.count() == 2


def test_a_title_is_made_from_the_slug(account):
    payment_required("hourly-tide-table", price=1)(view)
    declarations.sync()
    assert Resource.objects.get(slug="hourly-tide-table").title == "Hourly tide table"


def test_the_currency_is_the_sites(account, paywall_settings):
    paywall_settings(CURRENCY="EUR")
    payment_required("in-euro", price="2")(view)
    payment_required("in-yen", price="200", currency="JPY")(view)
    declarations.sync()
    currencies = dict(Price.objects.values_list("resource__slug", "currency"))
    assert (currencies["in-euro"], currencies["in-yen"]) == ("EUR", "JPY")


def test_two_views_may_sell_one_resource(account):
    payment_required("shared")(view)
    payment_required("shared", price="0.01")(view)
    payment_required("shared")(view)
    payment_required("shared", price="0.01")(view)
    assert "shared" in declarations.sync()


def test_a_resource_has_one_price_in_code():
    payment_required("shared", price="0.01")(view)
    with pytest.raises(ImproperlyConfigured, match="differently"):
        payment_required("shared", price="0.02")(view)


@pytest.mark.parametrize("price", ["free", "0", "-1", "NaN", "Infinity", "0.000000001", ""])
def test_a_price_is_an_amount(price):
    with pytest.raises(ImproperlyConfigured):
        payment_required("x", price=price)


@pytest.mark.parametrize("price", [0.01, True])
def test_a_price_is_never_a_float(price):
    with pytest.raises(TypeError, match="as a string"):
        payment_required("x", price=price)


def test_unknown_fields_are_named():
    with pytest.raises(TypeError, match="colour"):
        payment_required("x", price="1", colour="red")


def test_a_description_needs_a_price():
    with pytest.raises(ImproperlyConfigured, match="in the admin"):
        payment_required("x", title="X")


def test_a_callable_has_no_price():
    with pytest.raises(TypeError, match="goes with a slug"):
        payment_required(lambda request: Resource(), price="1")


def test_a_sync_view_cannot_await():
    async def find(request: HttpRequest) -> Resource:
        return Resource()

    with pytest.raises(TypeError, match="sync function"):
        payment_required(find)(view)


@pytest.mark.slow
def test_a_price_changed_elsewhere_shows_within_the_caches_age(item, paywall_settings):
    """Another process' change reaches us by the clock, not by a signal."""
    import time

    paywall_settings(CACHE_SECONDS=1)
    sold = payment_required("item")(view)
    get(sold)
    Price.objects.bulk_create([Price(resource=item, amount=Decimal("0.05"))])
    assert b'"10000"' in get(sold).content
    time.sleep(1.01)
    assert b'"50000"' in get(sold).content
    offers.forget()


def test_a_class_is_told_how():
    with pytest.raises(TypeError, match="PaymentRequiredMixin"):

        @payment_required("item")
        class Sold: ...
