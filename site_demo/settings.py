"""The demo's settings, from the environment. `.env` in the project's root is read too."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import environ

from paywall.rails.evm.tokens import TOKENS
from paywall.schedule import BEAT_SCHEDULE, TASK_ROUTES, TRANSPORT_OPTIONS

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"

env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env")


def _secret_key() -> str:
    """A key of this machine's own, made once, for whoever set none."""
    file = VAR_DIR / "secret_key"
    if not file.exists():
        VAR_DIR.mkdir(exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(50))
    return file.read_text()


DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or _secret_key()
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "import_export",
    "paywall",
    "site_demo.magazine",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "paywall.middleware.PaywallMiddleware",
]

ROOT_URLCONF = "site_demo.urls"
WSGI_APPLICATION = "site_demo.wsgi.application"
ASGI_APPLICATION = "site_demo.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "site_demo.magazine.context.play_wallet",
            ],
        },
    },
]

# ------------------------------------------------------------------------------- Database

VAR_DIR.mkdir(exist_ok=True)
DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'demo.sqlite3'}")}
DATABASES["default"]["CONN_MAX_AGE"] = env.int("DATABASE_CONN_MAX_AGE", default=60)
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # Readers do not wait for writers, and writers queue instead of failing.
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL",
    }
elif DATABASES["default"]["ENGINE"].endswith("postgresql"):
    # Statements are planned once a connection, not once a request.
    DATABASES["default"]["OPTIONS"] = {"server_side_binding": True, "prepare_threshold": 2}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --------------------------------------------------------------------------------- Celery

CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="filesystem://")
if CELERY_BROKER_URL.startswith("filesystem:"):
    # Without a broker to run: messages are files that worker, beat and site share.
    CELERY_BROKER_TRANSPORT = "site_demo.broker.Transport"
    _queue = VAR_DIR / "celery"
    for _folder in ("messages", "control"):
        (_queue / _folder).mkdir(parents=True, exist_ok=True)
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
        "data_folder_in": str(_queue / "messages"),
        "data_folder_out": str(_queue / "messages"),
        "control_folder": str(_queue / "control"),
    }
else:
    CELERY_BROKER_TRANSPORT_OPTIONS = {**TRANSPORT_OPTIONS, "socket_timeout": 5}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_BEAT_SCHEDULE = {**BEAT_SCHEDULE}
CELERY_TASK_ROUTES = {**TASK_ROUTES}
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "celerybeat-schedule")

# -------------------------------------------------------------------------------- Paywall

PAYWALL_NETWORK = env.str("PAYWALL_NETWORK", default="eip155:84532")
_usdc = {token.network: token.asset for token in TOKENS.values() if token.symbol == "USDC"}
PAYWALL_ASSET = env.str("PAYWALL_ASSET", default=_usdc.get(PAYWALL_NETWORK, ""))
PAYWALL_PAY_TO = env.str("PAYWALL_PAY_TO", default="")
PAYWALL_FREE_ARTICLES = env.int("PAYWALL_FREE_ARTICLES", default=0)
# For development alone: a local node and one of its accounts, "http://127.0.0.1:8545#0x...".
PAYWALL_PLAY_WALLET = env.str("PAYWALL_PLAY_WALLET", default="")
_stripe = {
    "API_KEY": env.str("PAYWALL_STRIPE_KEY", default=""),
    "WEBHOOK_SECRET": env.str("PAYWALL_STRIPE_WEBHOOK_SECRET", default=""),
    "API_BASE": env.str("PAYWALL_STRIPE_API_BASE", default=""),
}
_rpc_urls = env.list("PAYWALL_RPC_URL", default=[])

_gas_key = env.str("PAYWALL_GAS_KEY", default="")
_facilitator_url = "" if _gas_key else "https://x402.org/facilitator"

PAYWALL = {
    # Play money, and no chain at all: with DEBUG alone.
    "SANDBOX": env.bool("PAYWALL_SANDBOX", default=False),
    # At a URL; or, with a key that pays for gas and a node, the site itself.
    "FACILITATOR_URL": env.str("PAYWALL_FACILITATOR_URL", default=_facilitator_url),
    "FACILITATOR_TOKEN": env.str("PAYWALL_FACILITATOR_TOKEN", default=""),
    "GAS_KEY": _gas_key,
    "FACILITATOR_CLIENTS": env.dict("PAYWALL_FACILITATOR_CLIENTS", default={}),
    "TIME_ZONE": env.str("PAYWALL_TIME_ZONE", default=""),
    "ALERT_EMAILS": env.list("PAYWALL_ALERT_EMAILS", default=[]),
    "METRICS_TOKEN": env.str("PAYWALL_METRICS_TOKEN", default=""),
    "STRIPE": _stripe,
    "TREASURY_KEY": env.str("PAYWALL_TREASURY_KEY", default=""),
    "RPC_URLS": {PAYWALL_NETWORK: _rpc_urls} if _rpc_urls else {},
    # The proxy that ends TLS, if there is one.
    "PROXIES": env.int(
        "PAYWALL_PROXIES", default=1 if env.bool("BEHIND_TLS", default=False) else 0
    ),
    # Who settles pays for buyers' approvals of Permit2 too.
    "GAS_SPONSORING": env.bool("PAYWALL_GAS_SPONSORING", default=True),
    # Who knocks is counted. Bots that can prove to be it ("Googlebot,GPTBot"): the worker fetches
    # their lists.
    "CRAWL_LOG": env.bool("PAYWALL_CRAWL_LOG", default=True),
    "BOTS": {name: {} for name in env.list("PAYWALL_BOTS", default=[])},
    "WEB_BOT_AUTH": env.str("PAYWALL_WEB_BOT_AUTH", default="verify"),
    "STORM": env.int("PAYWALL_STORM", default=0),
    # A reader may give away twice what they bought.
    "GIFT_LINKS": 2,
    # What a buyer's wallet is told of the local chain, where the demo has a play wallet for it.
    "PUBLIC_RPC_URLS": (
        {PAYWALL_NETWORK: PAYWALL_PLAY_WALLET.partition("#")[0]} if PAYWALL_PLAY_WALLET else {}
    ),
    # Play money: credit at once, and wide enough for a load test of the ticker.
    "CREDIT_AFTER": 0,
    "EXPOSURE_PER_PAYER": "1000",
    "EXPOSURE_TOTAL": "10000",
    "EXPOSURE_PER_MINUTE": 100_000,
}

# ------------------------------------------------------------------------ Everything else

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

LANGUAGES = [
    ("en", "English"),
    ("de", "Deutsch"),
    ("es", "Español"),
    ("zh-hans", "简体中文"),
    ("ja", "日本語"),
]
LOGIN_URL = "admin:login"
EMAIL_BACKEND = env.str("EMAIL_BACKEND", default="django.core.mail.backends.console.EmailBackend")

# Nothing from elsewhere, and nothing inline: the paywall's pages and Django's admin need no more.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'self'"],
    }
}

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
WHITENOISE_USE_FINDERS = True

# TLS: BEHIND_TLS=on for a site that is only reached over https, by a proxy that ends TLS, sets
# X-Forwarded-Proto, and strips it from what clients send. Nobody else's word on it is believed.
BEHIND_TLS = env.bool("BEHIND_TLS", default=False)
if BEHIND_TLS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS
SECURE_HSTS_SECONDS = 3600 if BEHIND_TLS else 0
if not BEHIND_TLS:
    # A shop on one machine, to be tried out: it is reached over http, and that is meant.
    SILENCED_SYSTEM_CHECKS = [f"security.{w}" for w in ("W004", "W008", "W012", "W016")]
else:
    # Whether all of a domain shall only ever be reached over https is for its owner to say.
    SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

DEFAULT_EXCEPTION_REPORTER_FILTER = "paywall.error_reports.ExceptionReporterFilter"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"paywall": {"()": "paywall.logs.Fields"}},
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "format": "{asctime}{levelname}{name}{message}",
            "style": "{",
        },
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "filters": ["paywall"],
            "formatter": env.str("LOG_FORMAT", default="line"),
        }
    },
    "loggers": {
        "paywall": {
            "handlers": ["console"],
            "level": env.str("PAYWALL_LOG_LEVEL", default="INFO"),
        }
    },
}
