"""What an exception of Stripe's package means to a buyer (docs/cards.md has the table).

By the error's own type, not by the exception's class: the package makes a `CardError` of every 402
and an `APIError` of every 409 (stripe-python, `_api_requestor.py`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from paywall.exceptions import Code, PaymentFailed, Refused, Retry, Unavailable

if TYPE_CHECKING:
    from paywall.exceptions import PaywallError

AGAIN = frozenset(
    (
        *("incorrect_number", "incorrect_cvc", "incorrect_zip", "incorrect_address"),
        *("invalid_number", "invalid_cvc", "invalid_expiry_month", "invalid_expiry_year"),
        *("authentication_required", "approve_with_id", "offline_pin_required"),
    )
)
"""What the buyer can put right with the same card."""

LATER = frozenset(
    ("processing_error", "issuer_not_available", "try_again_later", "reenter_transaction")
)


def failure(error: BaseException) -> PaywallError | None:
    """Raises nothing. None for what is not Stripe's, and for what is a mistake of the site's."""
    stripe: Any = sys.modules.get("stripe")
    if stripe is None or not isinstance(error, stripe.StripeError):
        return None
    details = error.error
    type_ = getattr(details, "type", None) or ""
    if type_ == "card_error" or (not type_ and isinstance(error, stripe.CardError)):
        return _declined(error, details)
    if type_ == "idempotency_error" or error.http_status == 409:
        return Refused(Code.CONFLICT, status=409)
    if isinstance(error, stripe.RateLimitError):
        return Unavailable(Code.TOO_MANY_REQUESTS, status=429)
    if isinstance(error, stripe.InvalidRequestError | stripe.SignatureVerificationError):
        return None
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        return Unavailable(Code.FACILITATOR_UNAVAILABLE)
    if isinstance(error, stripe.CardError):  # a 402 that is about no card
        return Unavailable(Code.FACILITATOR_UNAVAILABLE)
    # No connection, or an error of Stripe's own: it may have been charged.
    return Unavailable(Code.SETTLEMENT_PENDING)


def _declined(error: Any, details: Any) -> PaymentFailed:
    code = str(error.code or "card_declined")
    decline_code = str(getattr(details, "decline_code", None) or "")
    advice = getattr(details, "advice_code", None)
    return PaymentFailed(code, decline_code=decline_code, retry=_retry(code, decline_code, advice))


def _retry(code: str, decline_code: str, advice: Any) -> Retry:
    if advice == "try_again_later" or {code, decline_code} & LATER:
        return Retry.LATER
    if advice == "confirm_card_data" or {code, decline_code} & AGAIN:
        return Retry.SAME
    return Retry.OTHER_METHOD
