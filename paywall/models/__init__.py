"""What the paywall remembers."""

from .access import AccessPass
from .accounts import Account
from .chain import Carriage, Cursor, FacilitatorHealth, Transaction, Wallet
from .exposure import Exposure
from .payments import Payment, PaymentEvent
from .receipts import Receipt
from .refunds import Refund
from .resources import Price, Resource

__all__ = [
    "AccessPass",
    "Account",
    "Carriage",
    "Cursor",
    "Exposure",
    "FacilitatorHealth",
    "Payment",
    "PaymentEvent",
    "Price",
    "Receipt",
    "Refund",
    "Resource",
    "Transaction",
    "Wallet",
]
