"""A site of its own for the tests: SQLite by default, PostgreSQL by DATABASE_URL."""

from pathlib import Path

import environ

env = environ.Env()

SECRET_KEY = "for tests only"
DEBUG = False
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
ROOT_URLCONF = "tests.shop.urls"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "import_export",
    "paywall",
    "site_demo.magazine",
    "tests.shop",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "paywall.middleware.PaywallMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "shop" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

DATABASES = {"default": env.db("DATABASE_URL", default="sqlite://:memory:")}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, so that threads and processes of the tests have connections of their own.
    DATABASES["default"]["TEST"] = {"NAME": env.str("TEST_SQLITE_NAME", "var/test.sqlite3")}
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        # Nothing here has to outlive the machine: no commit waits for the disk.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF",
    }
    Path("var").mkdir(exist_ok=True)

CELERY_BEAT_SCHEDULE: dict[str, dict[str, str]] = {}
# What seed_demo reads.
PAYWALL_NETWORK = "eip155:84532"
PAYWALL_ASSET = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
PAYWALL_PAY_TO = ""
DEFAULT_EXCEPTION_REPORTER_FILTER = "paywall.error_reports.ExceptionReporterFilter"
# Whether strangers have money is asked only by the tests that are about it.
PAYWALL = {
    "FACILITATOR_URL": "http://127.0.0.1:9",
    "CACHE_SECONDS": 0,
    "CREDIT_AFTER": 0,
    "BALANCE_CHECK": False,
}
