"""The owner's desk. `PricedInline` is for the admin of what a site sells."""

from . import (
    accounts,
    alerts,
    audiences,
    balances,
    chain,
    dashboard,
    disputes,
    index,
    licenses,
    orders,
    payments,
    readers,
    receipts,
    refunds,
    resources,
    visitors,
)
from .priced import PricedInline

__all__ = [
    "PricedInline",
    "accounts",
    "alerts",
    "audiences",
    "balances",
    "chain",
    "dashboard",
    "disputes",
    "index",
    "licenses",
    "orders",
    "payments",
    "readers",
    "receipts",
    "refunds",
    "resources",
    "visitors",
]
