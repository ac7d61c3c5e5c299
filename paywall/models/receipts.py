"""The proof handed to the buyer."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .payments import Payment
from .unguessable import unguessable


class Receipt(models.Model):
    """One per payment, issued once content was delivered or is owed."""

    public_id = models.CharField(_("public id"), max_length=40, default=unguessable, editable=False)
    payment = models.OneToOneField(
        Payment, models.PROTECT, related_name="receipt", verbose_name=_("payment")
    )
    number = models.PositiveBigIntegerField(
        _("number"),
        null=True,
        blank=True,
        unique=True,
        help_text=_("For the books, consecutive; given when the payment is confirmed."),
    )
    sold = models.JSONField(_("sold"), help_text=_("What was sold, as it was then."))
    issued_at = models.DateTimeField(_("issued"), default=timezone.now)

    class Meta:
        verbose_name = _("receipt")
        verbose_name_plural = _("receipts")
        ordering = ["-issued_at", "-pk"]
        indexes = [models.Index(fields=["-issued_at", "-id"], name="paywall_receipt_newest")]
        permissions = [
            ("export_receipt", "Can export receipts"),
            ("note_receipt", "Can write notes on receipts and send them again"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["public_id"], name="paywall_receipt_public_id"),
            models.CheckConstraint(
                condition=models.Q(number__isnull=True) | models.Q(number__gte=1),
                name="paywall_receipt_number_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"No. {self.number}" if self.number else self.public_id


class Dashboard(Receipt):
    """No table of its own: what the admin lists as the dashboard, with its permission."""

    class Meta:
        proxy = True
        verbose_name = _("dashboard")
        verbose_name_plural = _("dashboard")
        default_permissions = ("view",)
