"""The owner's desk."""

from . import accounts, payments, receipts, resources

__all__ = ["accounts", "payments", "receipts", "resources"]
