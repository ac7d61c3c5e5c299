"""What the magazine's templates see besides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from django.http import HttpRequest


def play_wallet(request: HttpRequest) -> dict[str, object]:
    """A wallet for the local chain, while somebody develops: its node, and whose it is."""
    wallet = getattr(settings, "PAYWALL_PLAY_WALLET", "")
    if not (settings.DEBUG and wallet):
        return {}
    rpc, _, account = wallet.rpartition("#")
    return {"play_wallet": {"rpc": rpc, "account": account}}
