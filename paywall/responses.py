"""For a site's CORS settings: the response headers that buyers' programs have to see."""

from paywall.entry.responses import EXPOSED

__all__ = ["EXPOSED"]
