"""What the paywall remembers."""

from .access import AccessPass
from .accounts import Account
from .exposure import Exposure
from .payments import Payment, PaymentEvent
from .receipts import Receipt
from .resources import Price, Resource

__all__ = [
    "AccessPass",
    "Account",
    "Exposure",
    "Payment",
    "PaymentEvent",
    "Price",
    "Receipt",
    "Resource",
]
