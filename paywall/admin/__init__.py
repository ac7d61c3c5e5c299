"""The owner's desk."""

from . import accounts, chain, payments, receipts, refunds, resources

__all__ = ["accounts", "chain", "payments", "receipts", "refunds", "resources"]
