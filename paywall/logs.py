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
from contextvars import ContextVar
from typing import Any

import httpx

payment: ContextVar[int | None] = ContextVar("paywall_payment", default=None)
"""The key of the payment that this thread or task works on, if it is one."""

_FIELD = re.compile(r"\b(payment|refund|transaction)=(\S+?)(?=[\s:,]|$)")


def plain(text: object, most: int = 300) -> str:
    """What a stranger wrote, fit for one line of a log: no character of it begins another."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text)[:most])


class Fields(logging.Filter):
    """Gives every record `payment`, `refund` and `transaction`: as its message names them, and
    otherwise the payment that is being worked on, or None."""

    def filter(self, record: logging.LogRecord) -> bool:
        named = dict(_FIELD.findall(record.getMessage()))
        if (worked_on := payment.get()) is not None:
            named.setdefault("payment", str(worked_on))
        for name in ("payment", "refund", "transaction"):
            value = named.get(name)
            setattr(record, name, int(value) if value and value.isdecimal() else value)
        return True


class WithoutQueries(logging.Filter):
    """Takes path and query off URLs in what httpx logs: nodes and facilitators have keys there."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.args and isinstance(record.args, tuple):
            record.args = tuple(map(_shortened, record.args))
        return True


def _shortened(value: Any) -> Any:
    if isinstance(value, httpx.URL):
        return f"{value.scheme}://{value.host}{f':{value.port}' if value.port else ''}"
    return value


def install() -> None:
    """Called at start-up."""
    for name in ("httpx", "httpcore"):
        logger = logging.getLogger(name)
        if not any(isinstance(known, WithoutQueries) for known in logger.filters):
            logger.addFilter(WithoutQueries())
