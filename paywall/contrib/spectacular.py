"""drf-spectacular: what operations cost stands in the site's OpenAPI document.

REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "paywall.contrib.spectacular.AutoSchema"}
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema as Spectacular

from paywall.discovery.documents import UNPAID, payment_info_of

from .rest_framework import slug_of


class AutoSchema(Spectacular):  # type: ignore[misc,unused-ignore]
    """Operations that are sold have a 402 response, and `x-payment-info` with their price."""

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        operation: Any = super().get_operation(*args, **kwargs)
        slug = slug_of(self.view, self.method) if operation else None
        if slug is None:
            return operation
        operation["responses"]["402"] = UNPAID
        if info := payment_info_of(slug):
            operation["x-payment-info"] = info
        return operation
