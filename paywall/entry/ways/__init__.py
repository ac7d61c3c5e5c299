"""Reasons to let a request through without a payment of its own."""
