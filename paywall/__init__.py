"""Sell a Django site's pages and APIs over HTTP 402.

from paywall.decorators import payment_required

@payment_required("forecast", price="0.01")
def forecast(request): ...
"""

__version__ = "0.1.0"
