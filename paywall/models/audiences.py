"""For whom a price is, and how many free requests somebody has had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .bots import Bots, bot_name
from .validators import validate_hook

if TYPE_CHECKING:
    from datetime import datetime


class Audience(models.Model):
    """Buyers who pay a price of their own."""

    class Kind(models.TextChoices):
        """How one knows that somebody belongs to it."""

        EVERYONE = "everyone", _("everyone (for free quotas)")
        SIGNED_IN = "signed_in", _("signed-in users")
        GROUP = "group", _("users of a group")
        COUPON = "coupon", _("who brings a coupon")
        HOOK = "hook", _("whom a function of the site admits")
        BOTS = "bots", _("bots that prove to be it")

    name = models.CharField(_("name"), max_length=100, unique=True)
    kind = models.CharField(_("who"), max_length=10, choices=Kind.choices)
    group = models.ForeignKey(
        "auth.Group",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("group"),
    )
    coupon = models.CharField(
        _("coupon"),
        max_length=64,
        blank=True,
        help_text=_("Brought as ?coupon=... or in the header Paywall-Coupon."),
    )
    coupon_uses = models.PositiveIntegerField(
        _("uses of the coupon"),
        null=True,
        blank=True,
        help_text=_("How many payments it is good for, of all buyers together; empty: any number."),
    )
    coupon_used = models.PositiveIntegerField(_("used"), default=0, editable=False)
    ends_at = models.DateTimeField(
        _("ends"), null=True, blank=True, help_text=_("From then on nobody belongs to it.")
    )
    disabled_at = models.DateTimeField(_("disabled"), null=True, blank=True, editable=False)
    hook = models.CharField(
        _("function"),
        max_length=64,
        blank=True,
        validators=[validate_hook],
        help_text=_("A name in PAYWALL['AUDIENCES']."),
    )
    bots = models.CharField(_("bots"), max_length=10, choices=Bots.choices, blank=True)
    bot = bot_name()
    active = models.BooleanField(
        _("active"), default=True, help_text=_("If not, nobody belongs to it.")
    )

    class Meta:
        verbose_name = _("audience")
        verbose_name_plural = _("audiences")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=["everyone", "signed_in"])
                | models.Q(kind="group", group__isnull=False)
                | (models.Q(kind="coupon") & ~models.Q(coupon=""))
                | (models.Q(kind="hook") & ~models.Q(hook=""))
                | (models.Q(kind="bots") & ~models.Q(bots="") & ~models.Q(bots="one"))
                | (models.Q(kind="bots", bots="one") & ~models.Q(bot="")),
                name="paywall_audience_complete",
                violation_error_message=_(
                    "A group, a coupon, a function or bots have to be named for this kind."
                ),
            ),
            models.UniqueConstraint(
                fields=["coupon"],
                condition=~models.Q(coupon=""),
                name="paywall_audience_coupon_once",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.disabled_at = None if self.active else (self.disabled_at or timezone.now())
        if "active" in (kwargs.get("update_fields") or ()):
            kwargs["update_fields"] = {*kwargs["update_fields"], "disabled_at"}
        super().save(*args, **kwargs)

    @property
    def ended_at(self) -> datetime | None:
        """Since when, or from when on, nobody belongs to it; None while there is no end."""
        return min((at for at in (self.ends_at, self.disabled_at) if at), default=None)

    @property
    def is_used_up(self) -> bool:
        return self.coupon_uses is not None and self.coupon_used >= self.coupon_uses


class FreeUse(models.Model):
    """How many free requests of a resource one holder has had in one period, as an audience.

    Not of a price: whoever renews the price of a free quota begins nobody's count anew.
    """

    resource = models.ForeignKey(
        "paywall.Resource",
        models.CASCADE,
        related_name="free_use",
        db_index=False,
        verbose_name=_("resource"),
    )
    audience = models.ForeignKey(
        Audience, models.CASCADE, related_name="free_use", verbose_name=_("audience")
    )
    holder = models.CharField(
        _("holder"), max_length=120, help_text=_("A user, a wallet, an address range, or all.")
    )
    period = models.CharField(_("period"), max_length=10, help_text=_("A day, or ever."))
    used = models.PositiveIntegerField(_("used"), default=0)

    class Meta:
        verbose_name = _("free use")
        verbose_name_plural = _("free uses")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["resource", "audience", "holder", "period"], name="paywall_free_use_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.holder}: {self.used} ({self.period})"
