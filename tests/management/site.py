"""This site, as a client of httpx sees it."""

from __future__ import annotations

import httpx
from django.test import Client


class Site(httpx.BaseTransport):
    """This site, or what a test has instead of its answers to payments."""

    def __init__(self):
        self.instead = []
        self.payments = []

    def client(self):
        return httpx.Client(transport=self)

    def handle_request(self, request):
        names = {"payment-signature", "x-payment", "authorization"} & set(request.headers)
        if names:
            self.payments.append(request.headers[names.pop()])
            if self.instead:
                found = self.instead.pop(0)
                if isinstance(found, Exception):
                    raise found
                return found
        found = Client().generic(
            request.method, request.url.path, request.read(), secure=True, headers=request.headers
        )
        return httpx.Response(
            found.status_code, headers=list(found.items()), content=found.getvalue()
        )
