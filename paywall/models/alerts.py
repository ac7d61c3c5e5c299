"""What the owner is told, and how far the telling is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .payments import Payment

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager


class Alert(models.Model):
    """Something that the owner should know. Each is raised once: its key says for what."""

    class Kind(models.TextChoices):
        LOST = "lost", _("a payment was lost")
        FACILITATOR = "facilitator", _("a facilitator is down")
        GAS = "gas", _("gas is low")
        CREDIT = "credit", _("losses on credit")
        COUPON = "coupon", _("somebody guesses coupons")
        REFUND = "refund", _("a refund is unclear")
        MISFIT = "misfit", _("money does not fit its order")
        DISPUTE = "dispute", _("a payment is disputed")
        ASKED_BACK = "askedback", _("a balance is asked back")
        CHEATS = "cheats", _("gas is burnt")
        BEHIND = "behind", _("the engine is behind")
        SUMMARY = "summary", _("daily summary")
        TEST = "test", _("a test")

    key = models.CharField(_("key"), max_length=200, unique=True)
    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices)
    title = models.CharField(_("title"), max_length=200)
    text = models.TextField(_("text"))
    data = models.JSONField(_("data"), default=dict, blank=True)
    payment = models.ForeignKey(
        Payment,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("payment"),
    )
    created_at = models.DateTimeField(_("raised"), default=timezone.now)

    messages: RelatedManager[AlertMessage]

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        ordering = ["-pk"]
        permissions = [("send_alert", "Can send alerts, again and for a test")]

    def __str__(self) -> str:
        return self.title


class AlertMessage(models.Model):
    """An alert on its way to one address. The row is the outbox."""

    class Channel(models.TextChoices):
        EMAIL = "email", _("e-mail")
        WEBHOOK = "webhook", _("webhook")

    alert = models.ForeignKey(
        Alert, models.CASCADE, related_name="messages", verbose_name=_("alert")
    )
    channel = models.CharField(_("by"), max_length=10, choices=Channel.choices)
    to = models.CharField(_("to"), max_length=300)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    due_at = models.DateTimeField(_("due"), default=timezone.now)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    given_up_at = models.DateTimeField(_("given up"), null=True, blank=True)
    trouble = models.CharField(_("trouble"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("alert message")
        verbose_name_plural = _("alert messages")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["alert", "channel", "to"], name="paywall_alert_message_once"
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at"],
                condition=models.Q(sent_at__isnull=True, given_up_at__isnull=True),
                name="paywall_alert_due",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_channel_display()} to {self.to}"
