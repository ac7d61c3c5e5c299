"""What was taken out of the books, by whom, and how far it is."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Export(models.Model):
    """One download of receipts or of monthly totals."""

    class Kind(models.TextChoices):
        RECEIPTS = "receipts", _("receipts")
        MONTHS = "months", _("monthly totals")

    class Format(models.TextChoices):
        CSV = "csv", "CSV"
        XLSX = "xlsx", "XLSX"

    kind = models.CharField(_("what"), max_length=10, choices=Kind.choices)
    format = models.CharField(_("format"), max_length=5, choices=Format.choices)
    query = models.TextField(_("filter"), blank=True, help_text=_("As in the list's URL."))
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("by"),
    )
    total = models.PositiveBigIntegerField(_("rows in all"))
    written = models.PositiveBigIntegerField(_("rows written"), default=0)
    created_at = models.DateTimeField(_("asked for"), default=timezone.now)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    broken_off_at = models.DateTimeField(_("broken off"), null=True, blank=True)

    class Meta:
        verbose_name = _("export")
        verbose_name_plural = _("exports")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} ({self.get_format_display()})"
