"""Payments, to be read: each with its story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from paywall import conf, ledger, staff_log
from paywall.models import AccessPass, Exposure, Payment
from paywall.money import money, shortened
from paywall.reports import advice
from paywall.settlement import worker
from paywall.templatetags.paywall_desk import owner_moment

from .base import FirstPages, ReadOnly, reference_link
from .refunds import PERMISSION, RefundInline, ask_for_refunds

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    PaymentAdminBase = admin.ModelAdmin[Payment]
    PassAdminBase = admin.ModelAdmin[AccessPass]
    ExposureAdminBase = admin.ModelAdmin[Exposure]
else:
    PaymentAdminBase = admin.ModelAdmin
    PassAdminBase = admin.ModelAdmin
    ExposureAdminBase = admin.ModelAdmin


LOOK_AT_ONCE = 20
"""Payments that one click asks about: each may take a call or two."""


class AttentionFilter(admin.SimpleListFilter):
    """Payments that only a person can resolve."""

    title = _("attention")
    parameter_name = "attention"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, Any]]:
        return [("needed", _("needs a look")), ("owed", _("paid, not collected"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "needed":
            return queryset.needing_attention()  # type: ignore[attr-defined,no-any-return]
        if self.value() == "owed":
            return queryset.filter(state__in=["settled", "confirmed"], delivered_at__isnull=True)
        return queryset


@admin.register(Payment)
class PaymentAdmin(ReadOnly, PaymentAdminBase):
    list_display = [
        "id",
        "created_at",
        "resource",
        "cost",
        "state",
        "reason",
        "is_delivered",
        "on_credit",
        "from_wallet",
        "transaction",
    ]
    list_filter = [AttentionFilter, "state", "created_at", "on_credit", "policy", "account"]
    list_select_related = ["resource"]
    search_fields = ["=payer", "=reference", "url", "identity", "resource__slug"]
    search_help_text = _("Wallet, transaction, URL or resource")
    show_full_result_count = False
    paginator = FirstPages
    inlines = [RefundInline]
    # Not `payload`: whoever has a signed authorization can settle it.
    fieldsets = [
        (
            None,
            {
                "fields": [
                    *("resource", "method", "url", "cost", "state", "delivered_at", "policy"),
                    "on_credit",
                ]
            },
        ),
        (_("What happened"), {"fields": ["advice", "story"]}),
        (_("Payment"), {"fields": ["account", "payer", "transaction", "user", "fee"]}),
        (
            _("Times"),
            {"fields": ["created_at", "expires_at", "settled_at", "confirmed_at", "closed_at"]},
        ),
        (
            _("Technical details"),
            {
                "fields": [
                    *("error_code", "error_detail", "attempts", "held_until", "due_at"),
                    *("rail", "network", "protocol", "facilitator", "position", "evidence"),
                    *("authorized", "used", "captured", "refunded", "offer", "identity"),
                ],
                "classes": ["collapse"],
            },
        ),
    ]
    readonly_fields = ["transaction", "cost", "advice", "story"]
    actions = ["look_again", "refund"]

    def has_refund_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(PERMISSION)

    @admin.action(description=_("Refund…"), permissions=["refund"])
    def refund(self, request: HttpRequest, queryset: QuerySet[Payment]) -> HttpResponse | None:
        return ask_for_refunds(self, request, queryset)

    def has_look_again_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("paywall.look_again_payment")

    @admin.action(
        description=_("Look again now: ask the chain or the facilitator"),
        permissions=["look_again"],
    )
    def look_again(self, request: HttpRequest, queryset: QuerySet[Payment]) -> None:
        """What the engine would do when they are due, for a few that somebody asks about."""
        counts = worker.look_at(queryset.values_list("pk", flat=True)[:LOOK_AT_ONCE])
        told = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
        self.message_user(request, told or gettext("Nothing to find out about these."))

    @admin.display(description=_("reason"), ordering="error_code")
    def reason(self, payment: Payment) -> str:
        return advice.why(payment.error_code) if payment.error_code else ""

    @admin.display(description=_("what to do"))
    def advice(self, payment: Payment) -> str:
        found = advice.about(payment)
        return f"{found.what} {found.todo}" if found else "–"

    @admin.display(description="")
    def story(self, payment: Payment) -> SafeString:
        rows = [
            (
                owner_moment(at),
                what,
                advice.told(payment, data),
            )
            for at, what, data in payment.story
        ]
        body = format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td></tr>", rows)
        return format_html("<table>{}</table>", body)

    @admin.display(description=_("transaction"))
    def transaction(self, payment: Payment) -> str | SafeString:
        return reference_link(payment.rail, payment.network, payment.reference)

    @admin.display(description=_("price"), ordering="price")
    def cost(self, payment: Payment) -> str:
        return payment.cost

    @admin.display(description=_("delivered"), boolean=True, ordering="delivered_at")
    def is_delivered(self, payment: Payment) -> bool:
        return payment.delivered_at is not None

    @admin.display(description=_("payer"), ordering="payer")
    def from_wallet(self, payment: Payment) -> str:
        return shortened(payment.payer or "–")


@admin.register(AccessPass)
class AccessPassAdmin(ReadOnly, PassAdminBase):
    list_display = ["id", "resource", "user", "created_at", "expires_at", "revoked_at"]
    list_select_related = ["resource", "user"]
    search_fields = ["resource__slug", "=user__username"]
    show_full_result_count = False
    paginator = FirstPages
    actions = ["revoke"]
    fields = ["resource", "payment", "user", "created_at", "expires_at", "revoked_at"]

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("paywall.revoke_accesspass")

    @admin.action(description=_("Revoke: it opens nothing any more"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[AccessPass]) -> None:
        for access_pass in queryset.filter(revoked_at__isnull=True).select_related("payment"):
            ledger.revoke(access_pass)
            staff_log.changed(request.user, access_pass, "Access pass", "open", "revoked")


@admin.register(Exposure)
class ExposureAdmin(ReadOnly, ExposureAdminBase):
    """What was delivered on credit and is not settled yet, beside the limits."""

    list_display = ["scope", "amount", "limit", "out_of_favour"]
    list_filter = ["out_of_favour"]
    search_fields = ["scope"]
    fields = ["scope", "amount", "limit", "out_of_favour"]
    readonly_fields = ["amount", "limit"]

    @admin.display(description=_("unsettled"), ordering="units")
    def amount(self, exposure: Exposure) -> str:
        return money(exposure.amount)

    @admin.display(description=_("limit"))
    def limit(self, exposure: Exposure) -> str:
        limits = conf.get()
        for_all = exposure.scope.startswith("all ")
        return money(limits.exposure_total if for_all else limits.exposure_per_payer)
