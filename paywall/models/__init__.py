"""What the paywall remembers."""

from .access import AccessPass
from .accounts import Account
from .alerts import Alert, AlertMessage
from .audiences import Audience, FreeUse
from .chain import Carriage, Cursor, FacilitatorHealth, Transaction, Wallet
from .exports import Export
from .exposure import CreditLoss, Exposure
from .orders import Order
from .payments import Payment, PaymentEvent
from .priced import PricedMixin, attach_prices
from .receipts import Dashboard, Receipt
from .refunds import Refund
from .resources import Price, Resource
from .rollups import BuyerDay, FailureDay, ResourceDay, RollUp, SalesDay
from .tallies import Tally

__all__ = [
    "AccessPass",
    "Account",
    "Alert",
    "AlertMessage",
    "Audience",
    "BuyerDay",
    "Carriage",
    "CreditLoss",
    "Cursor",
    "Dashboard",
    "Export",
    "Exposure",
    "FacilitatorHealth",
    "FailureDay",
    "FreeUse",
    "Order",
    "Payment",
    "PaymentEvent",
    "Price",
    "PricedMixin",
    "Receipt",
    "Refund",
    "Resource",
    "ResourceDay",
    "RollUp",
    "SalesDay",
    "Tally",
    "Transaction",
    "Wallet",
    "attach_prices",
]
