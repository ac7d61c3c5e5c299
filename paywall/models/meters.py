"""So many articles a month for nothing."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _


class Meter(models.Model):
    """A metered month: each reader has so many of its resources free in a calendar month.

    One that was opened stays open for that month, and counts once.
    """

    class Per(models.TextChoices):
        """By what readers are counted."""

        BROWSER = "browser", _("browser")
        USER = "user", _("signed-in user")
        NETWORK = "network", _("network")

    name = models.CharField(_("name"), max_length=100, unique=True)
    uses = models.PositiveIntegerField(
        _("free a month"), validators=[MinValueValidator(1)], help_text=_("For each reader.")
    )
    per = models.CharField(_("counted by"), max_length=10, choices=Per.choices, default=Per.BROWSER)
    most_of_network = models.PositiveIntegerField(
        _("most of one network"),
        default=100,
        help_text=_(
            "In a month, of browsers: whoever deletes the cookie begins anew, up to here. "
            "0: no limit."
        ),
    )
    active = models.BooleanField(_("active"), default=True)

    class Meta:
        verbose_name = _("metered month")
        verbose_name_plural = _("metered months")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=models.Q(uses__gt=0), name="paywall_meter_has_uses"),
            models.CheckConstraint(
                condition=models.Q(per__in=["browser", "user", "network"]),
                name="paywall_meter_per_known",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class MeterCount(models.Model):
    """How many resources of a meter one reader has opened in a month."""

    meter = models.ForeignKey(Meter, models.CASCADE, related_name="counts", db_index=False)
    holder = models.CharField(_("reader"), max_length=120)
    month = models.CharField(_("month"), max_length=7)
    used = models.PositiveIntegerField(_("used"), default=0)

    class Meta:
        verbose_name = _("metered reader")
        verbose_name_plural = _("metered readers")
        constraints = [
            models.UniqueConstraint("meter", "holder", "month", name="paywall_meter_count_once"),
        ]
        indexes = [models.Index(fields=["month"], name="paywall_meter_count_month")]

    def __str__(self) -> str:
        return f"{self.month}: {self.used}"


class MeterRead(models.Model):
    """One resource that a reader has opened so."""

    count = models.ForeignKey(MeterCount, models.CASCADE, related_name="reads", db_index=False)
    resource = models.ForeignKey(
        "paywall.Resource", models.CASCADE, related_name="+", verbose_name=_("resource")
    )

    class Meta:
        verbose_name = _("metered reading")
        verbose_name_plural = _("metered readings")
        constraints = [
            models.UniqueConstraint("count", "resource", name="paywall_meter_read_once"),
        ]

    def __str__(self) -> str:
        return f"{self.count_id}: {self.resource_id}"
