"""What the paywall remembers."""

from .access import AccessPass, PassDevice
from .accounts import Account
from .alerts import Alert, AlertMessage
from .answers import KeptAnswer
from .audiences import Audience, FreeUse
from .balances import Balance, BalanceEntry
from .bots import Bots
from .chain import Carriage, Cursor, FacilitatorHealth, Transaction, Wallet
from .desk import Acknowledgement, AlertRecipient, Examination
from .disputes import Dispute
from .exports import Export
from .exposure import CreditLoss, Exposure
from .gifts import Gift
from .licenses import LicenseClient, LicenseToken, UsageTerms
from .meters import Meter, MeterCount, MeterRead
from .notices import Notice
from .orders import Order
from .payments import Payment, PaymentEvent
from .priced import PricedMixin, SoldBy, attach_prices
from .receipts import Dashboard, Receipt
from .refunds import Refund
from .resources import Price, Resource
from .retention import RetentionMark
from .rollups import BuyerDay, FailureDay, ResourceDay, RollUp, SalesDay
from .tallies import Tally
from .visitors import BotAddress, BotSource, VisitorDay, VisitorRule

__all__ = [
    "AccessPass",
    "Account",
    "Acknowledgement",
    "Alert",
    "AlertMessage",
    "AlertRecipient",
    "Audience",
    "Balance",
    "BalanceEntry",
    "BotAddress",
    "BotSource",
    "Bots",
    "BuyerDay",
    "Carriage",
    "CreditLoss",
    "Cursor",
    "Dashboard",
    "Dispute",
    "Examination",
    "Export",
    "Exposure",
    "FacilitatorHealth",
    "FailureDay",
    "FreeUse",
    "Gift",
    "KeptAnswer",
    "LicenseClient",
    "LicenseToken",
    "Meter",
    "MeterCount",
    "MeterRead",
    "Notice",
    "Order",
    "PassDevice",
    "Payment",
    "PaymentEvent",
    "Price",
    "PricedMixin",
    "Receipt",
    "Refund",
    "Resource",
    "ResourceDay",
    "RetentionMark",
    "RollUp",
    "SalesDay",
    "SoldBy",
    "Tally",
    "Transaction",
    "UsageTerms",
    "VisitorDay",
    "VisitorRule",
    "Wallet",
    "attach_prices",
]
