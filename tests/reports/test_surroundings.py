"""What the doctor says of what stands around a site."""

from __future__ import annotations

import pytest
from django.utils import timezone

from paywall.entry.exposed import exposed
from paywall.findings import Grade
from paywall.models import Alert, AlertMessage, AlertRecipient
from paywall.protocols import registry as protocols
from paywall.reports import surroundings

pytestmark = pytest.mark.django_db


def said(grade: Grade) -> str:
    return "\n".join(f"{o.what} {o.todo}" for o in surroundings.examine() if o.grade == grade)


# ----------------------------------------------------------------------------- Proxies


def test_a_proxy_that_does_not_say_how_it_was_asked(paywall_settings):
    paywall_settings(PROXIES=1)
    assert "1 proxies stand before the site, and nothing says how they" in said(Grade.FAIL)


def test_no_proxy_and_no_https(settings):
    assert "nothing leads to HTTPS" in said(Grade.NOTE)
    settings.DEBUG = True
    assert "HTTPS" not in said(Grade.NOTE)


def test_proxies_as_they_should_be(settings, paywall_settings):
    paywall_settings(PROXIES=1)
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert "proxies and HTTPS are set up" in said(Grade.OK)


def test_every_host_is_believed(settings):
    settings.ALLOWED_HOSTS = ["*"]
    assert "every Host is believed" in said(Grade.FAIL)


# -------------------------------------------------------------------------------- CORS


def test_without_cors(settings):
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "corsheaders"]
    assert "pages of other sites cannot pay" in said(Grade.NOTE)


def test_cors_that_lets_no_payment_through(settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://other.example"]
    failures = said(Grade.FAIL)
    assert "may not send a payment" in failures
    assert "do not see what is offered" in failures
    assert "PAYMENT-SIGNATURE" in failures


def test_cors_as_it_should_be(settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://other.example"]
    settings.CORS_ALLOW_HEADERS = list(protocols.request_headers())
    settings.CORS_EXPOSE_HEADERS = exposed(protocols.all_()).split(", ")
    assert "pages of other sites can pay" in said(Grade.OK)


def test_cors_for_nobody(settings):
    settings.CORS_ALLOWED_ORIGINS = []
    assert "allows no origin" in said(Grade.NOTE)


# ------------------------------------------------------------------------------ Caches


LOCAL = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
NONE = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
GONE = {
    "BACKEND": "django.core.cache.backends.redis.RedisCache",
    "LOCATION": "redis://127.0.0.1:9",
}


@pytest.mark.parametrize(
    ("cache", "grade", "what"),
    [
        (LOCAL, Grade.OK, "the cache of passes answers"),
        (NONE, Grade.FAIL, "the cache of passes forgets at once"),
        (GONE, Grade.FAIL, "the cache of passes does not answer: ConnectionError"),
        (None, Grade.FAIL, "there is no cache 'passes'"),
    ],
)
def test_the_cache_of_passes(settings, paywall_settings, cache, grade, what):
    paywall_settings(PASS_CACHE="passes")
    settings.CACHES = {"default": LOCAL, **({"passes": cache} if cache else {})}
    assert what in said(grade)


# --------------------------------------------------------------------------- Time-outs


def test_a_server_that_is_less_patient_than_a_payment(monkeypatch):
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--workers 4 --timeout 30")
    assert "a paid request may take 85 s, and gunicorn kills its worker after 30 s" in said(
        Grade.FAIL
    )
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "-t=90")
    assert "gunicorn kills" not in said(Grade.FAIL)


def test_short_enough_for_any(paywall_settings):
    paywall_settings(VIEW_TIMEOUT=10)
    assert "a paid request may take 35 s" in said(Grade.OK)


def test_a_broker_that_gives_work_out_twice(settings):
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 60}
    assert "gives a task to a second worker after 60 s" in said(Grade.FAIL)


# ------------------------------------------------------------------------------ Alerts


def test_nobody_is_told():
    assert "nobody is told of trouble" in said(Grade.NOTE)


def test_alerts_that_do_not_arrive():
    AlertRecipient.objects.create(email="a@example.com")
    assert "alerts have somewhere to go" in said(Grade.OK)
    alert = Alert.objects.create(key="x", kind="test", title="t", text="t")
    AlertMessage.objects.create(
        alert=alert, channel="email", to="a@example.com", given_up_at=timezone.now()
    )
    assert "alerts do not arrive at e-mail" in said(Grade.FAIL)
