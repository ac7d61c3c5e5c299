"""What the site sends to chains and how far it has read them, to be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from paywall.models import Cursor, FacilitatorHealth, Transaction, Wallet

from .base import ReadOnly, reference_link

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

    WalletAdminBase = admin.ModelAdmin[Wallet]
    TransactionAdminBase = admin.ModelAdmin[Transaction]
    CursorAdminBase = admin.ModelAdmin[Cursor]
    HealthAdminBase = admin.ModelAdmin[FacilitatorHealth]
else:
    WalletAdminBase = TransactionAdminBase = CursorAdminBase = HealthAdminBase = admin.ModelAdmin


@admin.register(Wallet)
class WalletAdmin(ReadOnly, WalletAdminBase):
    list_display = ["address", "network", "coins", "balance_at", "next_nonce"]
    fields = ["address", "network", "coins", "balance_at", "next_nonce"]
    readonly_fields = ["coins"]

    @admin.display(description=_("for gas"))
    def coins(self, wallet: Wallet) -> str:
        return "–" if wallet.coins is None else f"{wallet.coins:.6f}"


@admin.register(Transaction)
class TransactionAdmin(ReadOnly, TransactionAdminBase):
    list_display = [
        *("id", "created_at", "wallet", "nonce", "state", "succeeded", "carried", "gas_used"),
        *("on_chain", "trouble"),
    ]
    list_filter = ["state", "wallet", "succeeded"]
    list_select_related = ["wallet"]
    search_fields = ["=hash", "carries__identity"]
    # Not `data`: before a block has them, authorizations are anybody's to submit.
    fields = [
        *("wallet", "nonce", "to", "gas", "max_fee", "tip", "on_chain", "earlier_hashes", "state"),
        *("created_at", "signed_at", "sent_at", "trouble", "succeeded", "block_number", "gas_used"),
    ]
    readonly_fields = ["on_chain"]

    @admin.display(description=_("carries"))
    def carried(self, transaction: Transaction) -> int:
        return len(transaction.carries.all())

    @admin.display(description=_("transaction"))
    def on_chain(self, transaction: Transaction) -> str | SafeString:
        return reference_link("evm", transaction.wallet.network, transaction.hash)

    def get_queryset(self, request):  # type: ignore[no-untyped-def]
        return super().get_queryset(request).prefetch_related("carries")


@admin.register(Cursor)
class CursorAdmin(ReadOnly, CursorAdminBase):
    list_display = ["network", "asset", "depth", "block_number", "block_time", "read_at"]


@admin.register(FacilitatorHealth)
class FacilitatorHealthAdmin(ReadOnly, HealthAdminBase):
    list_display = ["name", "failures", "avoided_until", "last_trouble", "changed_at"]
