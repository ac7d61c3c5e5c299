"""Money that goes back. Only `paywall.refunds` writes `state`."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .guarded import Guarded, GuardedModel
from .payments import Payment


class RefundQuerySet(Guarded["Refund"]):
    writer = "paywall.refunds"


class Refund(GuardedModel):
    """Some or all of a payment, sent back to its payer."""

    class State(models.TextChoices):
        REQUESTED = "requested", _("requested")
        SENT = "sent", _("sent")
        UNCLEAR = "unclear", _("unclear")
        CONFIRMED = "confirmed", _("confirmed")
        FAILED = "failed", _("failed")

    OPEN = (State.REQUESTED, State.SENT, State.UNCLEAR)

    payment = models.ForeignKey(
        Payment, models.PROTECT, related_name="refunds", verbose_name=_("payment")
    )
    amount = models.CharField(_("amount"), max_length=78, help_text=_("In the smallest unit."))
    reason = models.TextField(_("reason"))
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("by"),
    )
    state = models.CharField(
        _("state"), max_length=10, choices=State.choices, default=State.REQUESTED
    )
    is_ours_to_send = models.BooleanField(
        _("sent by the site"), help_text=_("If not, the owner sent it and named the reference.")
    )
    reference = models.CharField(_("reference"), max_length=255, blank=True, db_index=True)
    sender = models.CharField(
        _("sent from"),
        max_length=128,
        blank=True,
        help_text=_("The wallet it was sent from, if that is neither yours nor the site's."),
    )
    revoked_pass = models.BooleanField(
        _("revoked the pass"),
        default=False,
        help_text=_("If it comes to nothing, the pass is good again."),
    )
    error_detail = models.TextField(_("trouble"), blank=True)
    created_at = models.DateTimeField(_("requested at"), default=timezone.now)
    due_at = models.DateTimeField(_("due"), default=timezone.now)
    held_until = models.DateTimeField(_("held until"), default=timezone.now)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)

    objects = RefundQuerySet.as_manager()

    class Meta:
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")
        ordering = ["-pk"]
        permissions = [("refund_payment", "Can refund payments")]
        indexes = [models.Index(fields=["state", "due_at"], name="paywall_refund_work")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(amount__regex=r"^[1-9][0-9]*$"),
                name="paywall_refund_amount_positive",
            ),
            models.CheckConstraint(
                condition=~models.Q(state="confirmed") | ~models.Q(reference=""),
                name="paywall_refund_confirmed_has_reference",
            ),
            models.UniqueConstraint(
                "reference",
                condition=models.Q(is_ours_to_send=False) & ~models.Q(state="failed"),
                name="paywall_refund_reference_once",
            ),
        ]

    def __str__(self) -> str:
        return f"refund #{self.pk} of payment #{self.payment_id} ({self.state})"

    @property
    def identity(self) -> str:
        """By which a transaction carries it."""
        return f"refund:{self.pk}"
