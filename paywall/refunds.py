"""For a site's own code: money that goes back."""

from paywall.settlement.refunds import RefundRefused, remaining, request, request_rest

__all__ = ["RefundRefused", "remaining", "request", "request_rest"]
