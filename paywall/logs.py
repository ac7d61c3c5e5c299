"""Structured logs: what a message says as key=value, as fields of its record.

LOGGING = {
    "filters": {"paywall": {"()": "paywall.logs.Fields"}},
    "formatters": {"json": {"()": "pythonjsonlogger.json.JsonFormatter"}},
    "handlers": {"console": {..., "filters": ["paywall"], "formatter": "json"}},
}
"""

from __future__ import annotations

import logging
import re

_FIELD = re.compile(r"\b(payment|refund|transaction)=(\S+?)(?=[\s:,]|$)")


class Fields(logging.Filter):
    """Gives every record `payment`, `refund` and `transaction`, None where it names none."""

    def filter(self, record: logging.LogRecord) -> bool:
        named = dict(_FIELD.findall(record.getMessage()))
        for name in ("payment", "refund", "transaction"):
            value = named.get(name)
            setattr(record, name, int(value) if value and value.isdecimal() else value)
        return True
