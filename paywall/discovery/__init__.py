"""Being found: what is sold here, for programs, crawlers and people, from the same resources.

    path("", include("paywall.discovery.urls"))    # at the root of the site

`annotate` puts the prices into an OpenAPI document that a site makes itself.
"""

from .documents import annotate

__all__ = ["annotate"]
