"""The owner's desk."""

from . import accounts, chain, dashboard, payments, receipts, refunds, resources

__all__ = [
    "accounts",
    "chain",
    "dashboard",
    "payments",
    "receipts",
    "refunds",
    "resources",
]
