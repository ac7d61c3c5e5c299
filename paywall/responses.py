"""For a site's CORS settings: the response headers that buyers' programs have to see.

    from paywall.responses import EXPOSED
    CORS_EXPOSE_HEADERS = EXPOSED.split(", ")

While settings are still being read it is made from our own protocols; afterwards, from all.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name != "EXPOSED":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from django.conf import settings

    from paywall.entry.exposed import exposed
    from paywall.protocols import registry

    return exposed(registry.all_() if settings.configured else registry.ours())
