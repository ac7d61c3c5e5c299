"""A test client that pays."""

from __future__ import annotations

from typing import Any

from django.test import Client

from paywall.protocols import registry as protocols

from .buyer import Buyer


class PayingClient(Client):
    """Django's, with a wallet. `unpaid` is the 402 that it was answered last, `paid` what it sent
    for it."""

    def __init__(self, *args: Any, buyer: Buyer | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.buyer = buyer or Buyer()
        self.unpaid: Any = None
        self.paid: dict[str, str] = {}

    def generic(self, method: str, path: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().generic(method, path, *args, **kwargs)
        is_paid = protocols.brings_credential(response.wsgi_request.META)
        if response.status_code != 402 or is_paid or "PAYMENT-REQUIRED" not in response.headers:
            return response
        self.unpaid, self.paid = response, self.buyer.pays(response)
        paid = {**(kwargs.pop("headers", None) or {}), **self.paid}
        return super().generic(method, path, *args, headers=paid, **kwargs)
