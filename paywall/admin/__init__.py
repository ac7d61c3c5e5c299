"""The owner's desk. `PricedInline` is for the admin of what a site sells."""

from . import (
    accounts,
    alerts,
    audiences,
    chain,
    dashboard,
    orders,
    payments,
    receipts,
    refunds,
    resources,
)
from .priced import PricedInline

__all__ = [
    "PricedInline",
    "accounts",
    "alerts",
    "audiences",
    "chain",
    "dashboard",
    "orders",
    "payments",
    "receipts",
    "refunds",
    "resources",
]
