"""For a site's CORS settings: the response headers that buyers' programs have to see.

`EXPOSED` is made when it is asked for, from the protocols that the settings name.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "EXPOSED":
        from paywall.entry.responses import exposed

        return exposed()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
