"""For a site's own code: money that goes back."""

from paywall.settlement.refunds import RefundRefused, remaining, request

__all__ = ["RefundRefused", "remaining", "request"]
