"""What the gate tells the front door of a request, which is made before Django is."""

from __future__ import annotations

FRONT = "paywall.front"
"""The dict in which it does, on what the server has made of the request."""

UNTIL = "until"
"""Until when, on the monotonic clock, everybody is told the same."""
NONCE = "nonce"
"""A word of the answer that is another one for each reader."""
ABOUT = "about"
"""What is sold: the resource's key, and the first currency of its prices."""
