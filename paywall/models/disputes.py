"""Money that its payer's bank wants back. Only the ledger writes `state`."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .guarded import Guarded, GuardedModel
from .payments import Payment


class DisputeQuerySet(Guarded["Dispute"]):
    writer = "paywall.ledger"


class Dispute(GuardedModel):
    """A payment that its payer denies, at their bank: open until the bank has decided."""

    class State(models.TextChoices):
        OPEN = "open", _("open")
        WON = "won", _("won")
        LOST = "lost", _("lost")

    payment = models.ForeignKey(
        Payment, models.PROTECT, related_name="disputes", verbose_name=_("payment")
    )
    reference = models.CharField(_("reference"), max_length=255, unique=True)
    amount = models.CharField(_("amount"), max_length=78, help_text=_("In the smallest unit."))
    reason = models.CharField(_("reason"), max_length=100, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.OPEN)
    revoked_pass = models.BooleanField(
        _("revoked the pass"), default=False, help_text=_("If it is won, the pass is good again.")
    )
    opened_at = models.DateTimeField(_("opened"), default=timezone.now)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)

    objects = DisputeQuerySet.as_manager()

    class Meta:
        verbose_name = _("dispute")
        verbose_name_plural = _("disputes")
        ordering = ["-pk"]
        indexes = [
            models.Index(
                fields=["opened_at"],
                condition=models.Q(state="open"),
                name="paywall_dispute_open",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state="open", closed_at__isnull=True)
                | models.Q(state__in=["won", "lost"], closed_at__isnull=False),
                name="paywall_dispute_closed_at",
            ),
        ]

    def __str__(self) -> str:
        return f"dispute {self.reference} of payment #{self.payment_id} ({self.state})"
