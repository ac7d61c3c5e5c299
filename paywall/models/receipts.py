"""The proof handed to the buyer."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .payments import Payment
from .unguessable import unguessable


def invoice_number(series: str | None, serial: int | None) -> str:
    """As it stands on the invoice; "" while it has none."""
    return f"{series}{serial:06d}" if serial else ""


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
    series = models.CharField(
        _("series"), max_length=30, null=True, blank=True, help_text=_("Of invoices, by the year.")
    )
    serial = models.PositiveBigIntegerField(
        _("number of the series"), null=True, blank=True, help_text=_("Consecutive in its series.")
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
            models.UniqueConstraint(
                fields=["series", "serial"],
                condition=models.Q(serial__isnull=False),
                name="paywall_receipt_serial_once",
            ),
            models.CheckConstraint(
                condition=models.Q(number__isnull=True) | models.Q(number__gte=1),
                name="paywall_receipt_number_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"No. {self.number}" if self.number else self.public_id

    @property
    def invoice_number(self) -> str:
        """As it stands on the invoice; "" while it has none."""
        return invoice_number(self.series, self.serial)


class Dashboard(Receipt):
    """No table of its own: what the admin lists as the dashboard, with its permission."""

    class Meta:
        proxy = True
        verbose_name = _("dashboard")
        verbose_name_plural = _("dashboard")
        default_permissions = ("view",)
