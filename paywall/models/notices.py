"""What a rail's own party told us, and whether it is done."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Notice(models.Model):
    """One event of a webhook. It may come any number of times: its id is taken up once."""

    rail = models.CharField(_("rail"), max_length=20)
    identity = models.CharField(_("identity"), max_length=255)
    kind = models.CharField(_("kind"), max_length=80)
    about = models.CharField(_("about"), max_length=255, blank=True)
    received_at = models.DateTimeField(_("received"), default=timezone.now)
    done_at = models.DateTimeField(_("done"), null=True, blank=True)
    trouble = models.TextField(_("trouble"), blank=True)

    class Meta:
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["rail", "identity"], name="paywall_notice_once"),
        ]
        indexes = [models.Index(fields=["received_at"], name="paywall_notice_received")]

    def __str__(self) -> str:
        return f"{self.kind} {self.identity}"
