"""What Django's error mails and debug pages may show.

DEFAULT_EXCEPTION_REPORTER_FILTER = "paywall.error_reports.ExceptionReporterFilter"
"""

from __future__ import annotations

import re
from typing import Any

from django.views.debug import SafeExceptionReporterFilter

_OURS = ("RPC_URLS", "WEBHOOK", "FACILITATOR", "PAYMENT", "COUPON", "SIGN_IN_WITH_X")


class ExceptionReporterFilter(SafeExceptionReporterFilter):
    """Keeps out of them what opens a node, a webhook or a facilitator, and what buyers signed."""

    hidden_settings: Any = re.compile(
        "|".join([SafeExceptionReporterFilter.hidden_settings.pattern, *_OURS]), re.IGNORECASE
    )
