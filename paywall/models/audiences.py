"""For whom a price is, and how many free requests somebody has had."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from .validators import validate_hook


class Audience(models.Model):
    """Buyers who pay a price of their own."""

    class Kind(models.TextChoices):
        """How one knows that somebody belongs to it."""

        EVERYONE = "everyone", _("everyone (for free quotas)")
        SIGNED_IN = "signed_in", _("signed-in users")
        GROUP = "group", _("users of a group")
        COUPON = "coupon", _("who brings a coupon")
        HOOK = "hook", _("whom a function of the site admits")

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
    hook = models.CharField(
        _("function"),
        max_length=64,
        blank=True,
        validators=[validate_hook],
        help_text=_("A name in PAYWALL['AUDIENCES']."),
    )
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
                | (models.Q(kind="hook") & ~models.Q(hook="")),
                name="paywall_audience_complete",
                violation_error_message=_(
                    "A group, a coupon or a function has to be named for this kind."
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


class FreeUse(models.Model):
    """How many free requests of a price one holder has had in one period."""

    price = models.ForeignKey(
        "paywall.Price", models.CASCADE, related_name="free_use", verbose_name=_("price")
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
                fields=["price", "holder", "period"], name="paywall_free_use_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.holder}: {self.used} ({self.period})"
