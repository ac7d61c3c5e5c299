"""What OpenTelemetry, Sentry and logs are told: which payment, and nothing that a buyer sent."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import pytest
import sentry_sdk
from django.core.wsgi import get_wsgi_application
from django.test import Client
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sentry_sdk.transport import Transport

from paywall import conf, logs, tracing
from paywall.error_reports import before_send
from paywall.models import Payment
from paywall.settlement import worker
from tests.doubles import Answer
from tests.helpers import let_lapse

pytestmark = pytest.mark.django_db


# ------------------------------------------------------------------------ OpenTelemetry


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """The provider is set once in a process."""
    found, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(found))
    trace.set_tracer_provider(provider)
    return found


@pytest.fixture
def spans(exporter, paywall_settings):
    paywall_settings(TRACING=True)
    exporter.clear()

    def found() -> list[tuple[str, dict[str, Any]]]:
        return [(span.name, dict(span.attributes or {})) for span in exporter.get_finished_spans()]

    return found


def test_a_paid_request_is_two_spans(item, buyer, facilitator, spans):
    client = Client()
    assert client.get("/item/", headers=buyer.pays(client.get("/item/"))).status_code == 200
    payment = Payment.objects.get()
    unpaid, settled, paid = spans()
    assert unpaid == ("paywall.request", {"paywall.status": 402})
    assert settled == (
        "paywall.settle",
        {
            "paywall.payment": payment.pk,
            "paywall.rail": "evm",
            "paywall.state": "settled",
            "paywall.facilitator": "default",
            "paywall.outcome": "Settled",
        },
    )
    assert paid == (
        "paywall.request",
        {"paywall.resource": "item", "paywall.payment": payment.pk, "paywall.status": 200},
    )
    told = str(spans())
    for secret in (buyer.account.address, "signature", "testserver"):
        assert secret.lower() not in told.lower()


def test_settling_hangs_below_the_request_of_the_site(item, buyer, facilitator, spans, exporter):
    client = Client()
    paid = buyer.pays(client.get("/item/"))
    exporter.clear()
    with trace.get_tracer("the site's own").start_as_current_span("GET /item/") as around:
        client.get("/item/", headers=paid)
    ours = [span for span in exporter.get_finished_spans() if span.name.startswith("paywall.")]
    assert len(ours) == 2
    assert {span.parent.span_id for span in ours} == {around.get_span_context().span_id}


def test_an_outcome_that_is_unknown_is_told(item, buyer, facilitator, spans):
    facilitator.settle = Answer(die=True)
    client = Client()
    client.get("/item/", headers=buyer.pays(client.get("/item/")))
    settle = next(told for name, told in spans() if name == "paywall.settle")
    assert (settle["paywall.state"], settle["paywall.outcome"]) == ("settling", "Unknown")


def test_what_fails_is_told_by_its_kind(item, spans, exporter):
    with pytest.raises(ZeroDivisionError), tracing.span("work", payment=7):
        raise ZeroDivisionError("0x5ec4e7 in the words")
    (span,) = exporter.get_finished_spans()
    assert not span.status.is_ok
    assert span.attributes["error.type"] == "ZeroDivisionError"
    assert "0x5ec4e7" not in span.to_json()


def test_the_engine_tells_too(item, buyer, facilitator, spans):
    facilitator.settle = Answer(die=True)
    client = Client()
    client.get("/item/", headers=buyer.pays(client.get("/item/")))
    let_lapse()
    worker.sweep()
    assert "paywall.resolve" in [name for name, _ in spans()]


def test_without_the_setting_nothing_is_told(item, buyer, facilitator, exporter):
    exporter.clear()
    client = Client()
    client.get("/item/", headers=buyer.pays(client.get("/item/")))
    assert exporter.get_finished_spans() == ()
    assert conf.get().tracing is False


# ------------------------------------------------------------------------------- Sentry


class Kept(Transport):
    """What would have left."""

    sent: list[Any] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.sent += [item.payload.json for item in envelope.items if item.payload.json]


@pytest.fixture
def sentry():
    Kept.sent = []
    sentry_sdk.init(
        dsn="https://key@sentry.invalid/1",
        transport=Kept,
        before_send=before_send,
        send_default_pii=True,
        max_request_body_size="always",
        include_local_variables=True,
    )
    yield Kept.sent
    sentry_sdk.init()


@pytest.mark.django_db(transaction=True)
def test_an_error_in_a_paid_view_names_its_payment_and_nothing_that_was_signed(
    item, buyer, facilitator, sentry
):
    site = httpx.WSGITransport(app=get_wsgi_application(), raise_app_exceptions=False)
    client = httpx.Client(transport=site, base_url="http://testserver")
    client.cookies.set("paywall_holder", "holder-s-secret")
    path = "/raising/?coupon=SPRING26&page=2"
    unpaid = client.get(path)
    assert unpaid.status_code == 402, unpaid.text
    paid = buyer.pays(unpaid)
    response = client.get(path, headers=paid | {"Paywall-Coupon": "SPRING26"})
    assert response.status_code == 500
    (event,) = [one for one in sentry if "exception" in one]
    told = json.dumps(event)
    assert event["tags"]["payment"] == Payment.objects.get().pk
    headers = {name.lower(): value for name, value in event["request"]["headers"].items()}
    assert headers["payment-signature"] == headers["paywall-coupon"] == "[paywall]"
    assert "page=2" in event["request"]["query_string"]
    wallet, signed = buyer.account.address.lower(), paid["PAYMENT-SIGNATURE"][:40]
    for secret in (wallet, wallet[2:], "holder-s-secret", "SPRING26", signed):
        assert secret.lower() not in told.lower(), secret


def test_a_coupon_in_an_address_is_taken_out():
    request = {"url": "https://x/?coupon=SPRING26&page=2", "query_string": "page=2&coupon=SPRING26"}
    told = before_send({"request": request}, {})["request"]
    assert told["url"] == "https://x/?coupon=[paywall]&page=2"
    assert told["query_string"] == "page=2&coupon=[paywall]"


def test_an_event_of_anything_else_stays_as_it_is(sentry):
    try:
        number = 7
        raise ValueError(number)
    except ValueError as error:
        sentry_sdk.capture_exception(error)
    (event,) = sentry
    frame = event["exception"]["values"][0]["stacktrace"]["frames"][-1]
    assert frame["vars"]["number"] == "7"
    assert "payment" not in event.get("tags", {})


def test_an_event_without_any_of_it(sentry):
    assert before_send({"message": "x"}, {}) == {"message": "x"}


# -------------------------------------------------------------------------------- Logs


def test_a_views_own_log_lines_name_the_payment():
    record = logging.LogRecord("site", logging.INFO, "f", 1, "rendering took long", None, None)
    with tracing.about(12):
        logs.Fields().filter(record)
    assert record.payment == 12
    logs.Fields().filter(record)
    assert record.payment is None


def test_what_a_message_names_goes_first():
    record = logging.LogRecord("paywall", logging.INFO, "f", 1, "payment=3 settled", None, None)
    with tracing.about(12):
        logs.Fields().filter(record)
    assert record.payment == 3


def test_after_a_request_no_payment_is_worked_on(item, buyer, facilitator):
    client = Client()
    client.get("/item/", headers=buyer.pays(client.get("/item/")))
    assert logs.payment.get() is None
