"""Every column that says something about a person, and how it goes; the others say nothing.

A test compares this with the models: what is added there has to be decided here.
"""

from __future__ import annotations

PERSONAL: dict[str, dict[str, str]] = {
    "Payment": {
        "payer": "wallets",
        "identity": "wallets",
        "error_detail": "wallets",
        "user": "users",
        "holder": "users",
        "idempotency_key": "users",
        "request_digest": "users",
        "url": "urls",
        "payload": "payloads",
    },
    "PaymentEvent": {"data": "events"},
    "Receipt": {"sold": "urls; fields of your own: users"},
    "Order": {"user": "users", "holder": "users", "url": "urls"},
    "BalanceEntry": {"holder": "users", "url": "urls"},
    "AccessPass": {"user": "users, once it is over", "holder": "users, once it is over"},
    "PassDevice": {"holder": "users, once its pass is over"},
    "Balance": {"user": "paywall_forget", "holder": "when its cookie is lost"},
    "Alert": {"title": "wallets", "text": "wallets", "data": "wallets"},
    "Exposure": {"scope": "wallets"},
    "Transaction": {"data": "payloads"},
    "Carriage": {"identity": "wallets"},
    "FreeUse": {"holder": "the next day; of a quota for ever: paywall_forget"},
    "MeterCount": {"holder": "after its month"},
    "Tally": {"scope": "within a day"},
    "KeptAnswer": {
        "headers": "KEEP_ANSWERS",
        "body": "KEEP_ANSWERS",
    },
}
"""By model and column: the key of `RETENTION` that it goes by, or what else ends it."""

OF_STAFF: dict[str, set[str]] = {
    "Account": {"proposed_by"},
    "Export": {"by", "query"},
    "Refund": {"by", "reason", "error_detail", "sender"},
    "Gift": {"by", "url"},
    "AlertMessage": {"to", "trouble"},
    "Examination": {"by"},
    "Acknowledgement": {"by"},
}
"""What the site's own people did or wrote, and addresses of theirs: kept as the books are."""

PUBLIC: dict[str, set[str]] = {
    "Payment": {"reference", "evidence", "offer"},
    "Order": {"reference", "offer", "trouble"},
    "Refund": {"reference"},
    "Dispute": {"reference", "reason"},
    "Notice": {"identity", "about", "trouble"},
    "Transaction": {"hash", "earlier_hashes", "trouble"},
}
"""What moved money, as its rail knows it: without it the books prove nothing, so it stays. On a
public chain, who has a transaction's hash finds its wallets."""
