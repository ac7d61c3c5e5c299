"""What the desk's pages share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.html import format_html

from paywall.evm import networks

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.utils.safestring import SafeString


class ReadOnly:
    """The owner looks at it; only the paywall writes it."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def transaction_link(network: str, tx_hash: str) -> str | SafeString:
    """A transaction, linked to where a person can look at it."""
    if not tx_hash:
        return "–"
    short = f"{tx_hash[:10]}…{tx_hash[-6:]}"
    url = networks.transaction_url(network, tx_hash)
    if url is None:
        return short
    return format_html('<a href="{}" rel="noreferrer" target="_blank">{}</a>', url, short)
