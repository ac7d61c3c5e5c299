"""A site with flat pages."""

from tests.settings import *  # noqa: F403

INSTALLED_APPS += ["django.contrib.sites", "django.contrib.flatpages"]  # noqa: F405
SITE_ID = 1
MIDDLEWARE = [
    *MIDDLEWARE[:-1],  # noqa: F405
    "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
    MIDDLEWARE[-1],  # noqa: F405
]
