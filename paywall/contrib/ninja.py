"""Django Ninja: operations that are sold, and say so in the API's OpenAPI document.

    from paywall.contrib.ninja import NinjaAPI, payment_required

    api = NinjaAPI()

    @api.get("/forecast")
    @payment_required("forecast", price="0.01")
    def forecast(request, city: str): ...

With Ninja's own `NinjaAPI` it is sold as well; its document then says nothing of prices, and names
the resource in `x-paywall-resource`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import ninja
from ninja.decorators import decorate_view
from ninja.utils import contribute_operation_callback

from paywall.decorators import payment_required as sold
from paywall.discovery.documents import UNPAID, payment_info_of

F = TypeVar("F", bound=Callable[..., Any])

_SLUG = "x-paywall-resource"
"""Where an operation says what it sells, until its document is made."""


def payment_required(resource: Any, **fields: Any) -> Callable[[F], F]:
    """`paywall.decorators.payment_required` for an operation, below `@api.get(...)`."""

    def decorate(operation: F) -> F:
        decorate_view(sold(resource, **fields))(operation)
        slug = resource if isinstance(resource, str) else None
        contribute_operation_callback(operation, partial(_say, slug))
        return operation

    return decorate


def _say(slug: str | None, operation: Any) -> None:
    extra = operation.openapi_extra or {}
    responses = {**extra.get("responses", {}), 402: UNPAID}
    operation.openapi_extra = {**extra, "responses": responses, _SLUG: slug}


class NinjaAPI(ninja.NinjaAPI):  # type: ignore[misc,unused-ignore]
    """Its OpenAPI document says what operations cost, in `x-payment-info`."""

    def get_openapi_schema(self, *args: Any, **kwargs: Any) -> Any:
        document = super().get_openapi_schema(*args, **kwargs)
        for operations in document["paths"].values():
            for operation in operations.values():
                slug = operation.pop(_SLUG, None)
                if slug and (info := payment_info_of(slug)):
                    operation["x-payment-info"] = info
        return document
