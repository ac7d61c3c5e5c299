"""The right to come back without paying."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .payments import Payment
from .resources import Resource


class AccessPass(models.Model):
    """Opens one resource to a holder for a time: a browser by its cookie, or a user.

    A browser has one cookie, however much it bought: its passes name the same holder.
    """

    class Source(models.TextChoices):
        """Why its holder has it."""

        PAYMENT = "payment", _("a payment")
        GIFT = "gift", _("a gift")
        GRANT = "grant", _("given by the owner")
        BALANCE = "balance", _("a balance")

    resource = models.ForeignKey(
        Resource, models.CASCADE, related_name="passes", verbose_name=_("resource")
    )
    source = models.CharField(
        _("source"), max_length=10, choices=Source.choices, default=Source.PAYMENT
    )
    payment = models.OneToOneField(
        Payment,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="access_pass",
        verbose_name=_("payment"),
    )
    gift = models.ForeignKey(
        "paywall.Gift",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="passes",
        verbose_name=_("gift link"),
    )
    balance_entry = models.OneToOneField(
        "paywall.BalanceEntry",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="access_pass",
        verbose_name=_("entry of a balance"),
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("user"),
    )
    holder = models.CharField(
        _("holder"),
        max_length=64,
        blank=True,
        editable=False,
        help_text=_("The hash of the secret in the browser's cookie."),
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    expires_at = models.DateTimeField(
        _("expires"), null=True, blank=True, help_text=_("Never, if empty.")
    )
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)

    class Meta:
        verbose_name = _("access pass")
        verbose_name_plural = _("access passes")
        ordering = ["-pk"]
        permissions = [("revoke_accesspass", "Can revoke access passes")]
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(source="payment") | models.Q(payment__isnull=False),
                name="paywall_pass_has_its_payment",
            ),
        ]
        indexes = [
            models.Index(fields=["holder", "resource"], name="paywall_pass_of_holder"),
            models.Index(fields=["user", "resource"], name="paywall_pass_of_user"),
        ]

    def __str__(self) -> str:
        return f"pass #{self.pk} to {self.resource_id}"


class PassDevice(models.Model):
    """Another browser that a pass is open in, beside the one that it was made for.

    Its holder signed in there, as a user or with the wallet that paid.
    """

    access_pass = models.ForeignKey(
        AccessPass, models.CASCADE, related_name="devices", verbose_name=_("access pass")
    )
    holder = models.CharField(
        _("holder"),
        max_length=64,
        editable=False,
        help_text=_("The hash of the secret in the browser's cookie."),
    )
    created_at = models.DateTimeField(_("since"), default=timezone.now)

    class Meta:
        verbose_name = _("device of a pass")
        verbose_name_plural = _("devices of passes")
        constraints = [
            models.UniqueConstraint("holder", "access_pass", name="paywall_pass_device_once"),
        ]

    def __str__(self) -> str:
        return f"device #{self.pk} of pass #{self.access_pass_id}"
