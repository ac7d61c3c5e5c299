"""What the desk remembers for the people at it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class _ByStaff(models.Model):
    """Somebody at the desk, at a time."""

    at = models.DateTimeField(_("at"), default=timezone.now)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("by"),
    )

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M}"


class Examination(_ByStaff):
    """What the doctor found when it looked last: one row."""

    findings = models.JSONField(_("findings"), default=list)
    live = models.CharField(
        _("URL"), max_length=500, blank=True, help_text=_("That was asked for as a buyer does.")
    )

    class Meta:
        verbose_name = _("examination")
        verbose_name_plural = _("examinations")
        default_permissions = ("add", "view")


class Acknowledgement(_ByStaff):
    """Losses that somebody has seen, by the day on which they were sold: one row."""

    losses = models.JSONField(_("losses"), default=dict)

    class Meta:
        verbose_name = _("acknowledgement")
        verbose_name_plural = _("acknowledgements")
        default_permissions = ("add",)


class AlertRecipient(models.Model):
    """Whom alerts are mailed to, besides those that the settings name."""

    email = models.EmailField(_("e-mail"), unique=True)
    troubles = models.BooleanField(
        _("trouble"),
        default=True,
        help_text=_("Lost payments, a facilitator that is down, low gas, disputes and the like."),
    )
    summaries = models.BooleanField(_("each day's sales"), default=True)

    class Meta:
        verbose_name = _("recipient of alerts")
        verbose_name_plural = _("recipients of alerts")
        ordering = ["email"]

    def __str__(self) -> str:
        return self.email
