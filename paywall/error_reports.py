"""What Django's error mails and debug pages may show, and what Sentry may be sent.

    DEFAULT_EXCEPTION_REPORTER_FILTER = "paywall.error_reports.ExceptionReporterFilter"
    sentry_sdk.init(..., before_send=before_send)

What says which payment it is about stays; what a buyer could be paid with, or known by, does not.
"""

from __future__ import annotations

import re
from typing import Any

from django.views.debug import SafeExceptionReporterFilter

from paywall.logs import payment

_OURS = ("RPC_URLS", "WEBHOOK", "FACILITATOR", "PAYMENT", "COUPON", "SIGN_IN_WITH_X")


class ExceptionReporterFilter(SafeExceptionReporterFilter):
    """Keeps out of them what opens a node, a webhook or a facilitator, and what buyers signed."""

    hidden_settings: Any = re.compile(
        "|".join([SafeExceptionReporterFilter.hidden_settings.pattern, *_OURS]), re.IGNORECASE
    )


SCRUBBED = "[paywall]"

_SECRET_HEADERS = re.compile(
    r"payment|authorization|sign-in-with-x|paywall-|cookie|stripe-signature", re.IGNORECASE
)
_SECRET_NAMES = re.compile(
    r"payload|credential|signature|authorization|claim|charge|coupon|secret|token|key|headers|META"
    r"|environ|request|body|payer|wallet",
    re.IGNORECASE,
)
_OURS_FRAMES = ("paywall.", "x402", "eth_account", "mpp")
_COUPON = re.compile(r"(coupon=)[^&]+", re.IGNORECASE)


def before_send(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    """For Sentry: what a buyer sent goes, the payment's id comes as a tag."""
    if (worked_on := payment.get() or _noted(hint)) is not None:
        event.setdefault("tags", {})["payment"] = worked_on
    _scrub_request(event.get("request") or {})
    exceptions = (event.get("exception") or {}).get("values") or []
    for one in [*exceptions, *((event.get("threads") or {}).get("values") or [])]:
        for frame in (one.get("stacktrace") or {}).get("frames") or []:
            _scrub_frame(frame)
    return event


def _noted(hint: dict[str, Any]) -> int | None:
    """What the exception itself says, which has left us by now."""
    _kind, error, _trace = hint.get("exc_info") or (None, None, None)
    for note in getattr(error, "__notes__", ()):
        if found := re.fullmatch(r"payment=(\d+)", note):
            return int(found[1])
    return None


def _scrub_request(request: dict[str, Any]) -> None:
    for name in request.get("headers") or {}:
        if _SECRET_HEADERS.search(name):
            request["headers"][name] = SCRUBBED
    for name in ("cookies", "env", "data"):
        if request.get(name):
            request[name] = SCRUBBED
    for name in ("url", "query_string"):
        if isinstance(request.get(name), str):
            request[name] = _COUPON.sub(rf"\1{SCRUBBED}", request[name])


def _scrub_frame(frame: dict[str, Any]) -> None:
    """In our own code and the protocols' packages no variable is shown; in a site's, none that is
    named as what a buyer sends is."""
    is_ours = str(frame.get("module") or "").startswith(_OURS_FRAMES)
    for name in frame.get("vars") or {}:
        if is_ours or _SECRET_NAMES.search(name):
            frame["vars"][name] = SCRUBBED
