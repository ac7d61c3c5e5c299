"""That this Django does what `paywall/django_internals.py` says of it."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.http import FileResponse, HttpResponse
from django.middleware.cache import UpdateCacheMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.test import RequestFactory, TestCase
from django.test import utils as test_utils
from django.utils.log import log_response

from paywall import django_internals
from paywall.models import Payment, Receipt
from tests.helpers import claim


def test_a_response_is_kept_out_of_the_log(caplog):
    request = RequestFactory().get("/x/")
    with caplog.at_level(logging.WARNING, "django.request"):
        log_response("loud", response=HttpResponse(status=402), request=request)
        quiet = HttpResponse(status=402)
        django_internals.keep_out_of_request_log(quiet)
        log_response("quiet", response=quiet, request=request)
    assert [record.getMessage() for record in caplog.records] == ["loud"]


def test_what_a_response_holds_is_closed_and_the_request_is_not_over(tmp_path):
    (tmp_path / "x").write_text("x")
    file = (tmp_path / "x").open("rb")
    response = FileResponse(file)
    django_internals.free_resources(response)
    assert file.closed
    assert not response.closed


@pytest.mark.parametrize("kept", [True, False])
def test_the_cache_middleware_keeps_nothing(kept):
    cache.clear()
    request = RequestFactory().get("/cached/")
    request._cache_update_cache = True
    if not kept:
        django_internals.never_cache_response_of(request)
        request._cache_update_cache = True  # as each of the middlewares does
    middleware = UpdateCacheMiddleware(lambda request: HttpResponse())
    assert middleware._should_update_cache(request, HttpResponse()) is kept
    assert type(request).__name__ == "WSGIRequest"
    django_internals.never_cache_response_of(request)


def test_the_csrf_check_is_put_off_and_made_up_for():
    def rejected(request):
        middleware = CsrfViewMiddleware(lambda request: HttpResponse())
        return middleware.process_view(request, lambda request: HttpResponse(), (), {}) is not None

    request = RequestFactory(enforce_csrf_checks=True).post("/x/")
    assert rejected(RequestFactory(enforce_csrf_checks=True).post("/x/"))
    before = django_internals.put_off_csrf_check(request)
    assert not rejected(request)
    django_internals.have_csrf_checked(request, before)
    assert rejected(request)


class InATestCase(TestCase):
    def test_its_transaction_is_known(self):
        assert django_internals.is_in_test_case(connection)


@pytest.mark.django_db(transaction=True)
def test_no_test_case_is_none(db):
    assert not django_internals.is_in_test_case(connection)


@pytest.mark.django_db
def test_what_is_loaded_is_known(item):
    payment, _ = claim(item)
    assert not django_internals.is_loaded(payment, "receipt")
    Receipt.objects.create(payment=payment, sold={})
    assert django_internals.is_loaded(payment, "receipt")
    assert not django_internals.is_loaded(Payment.objects.get(), "receipt")


def test_all_views_of_the_site_with_their_paths():
    from tests.shop import views

    found = dict(django_internals.views_with_routes())
    assert found[views.item] == "/item/"
    assert found[views.by_object] == "/by-object/<slug:slug>/"


def test_nowhere_else_is_one_of_them_named():
    import re

    from tests.test_docs import ROOT

    private = re.compile(
        r"_resource_closers|_has_been_logged|_cache_update_cache|_dont_enforce_csrf_checks"
        r"|csrf_processing_done|_from_testcase|fields_cache"
    )
    found = {
        path.name for path in (ROOT / "paywall").rglob("*.py") if private.search(path.read_text())
    }
    assert found == {"django_internals.py"}


def test_debug_is_as_the_site_has_it_while_its_tests_run(monkeypatch):
    saved = SimpleNamespace(debug=True)
    monkeypatch.setattr(test_utils._TestState, "saved_data", saved)
    assert not settings.DEBUG
    assert django_internals.debug()
    saved.debug = False
    assert not django_internals.debug()
