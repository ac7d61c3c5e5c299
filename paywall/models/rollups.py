"""Sums by day, kept so that the dashboard need not add up payments. Only `rollups` writes them.

Days are those of the owner's time zone; money is in `UNITS` of a currency's unit, whole numbers
that every database adds up exactly.
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from .accounts import Account
from .resources import Resource


class SalesDay(models.Model):
    """What was sold in a day, by account, policy and currency."""

    day = models.DateField(_("day"))
    account = models.ForeignKey(Account, models.CASCADE, related_name="+", db_index=False)
    policy = models.CharField(_("settlement"), max_length=12)
    currency = models.CharField(_("currency"), max_length=3)
    sales = models.PositiveBigIntegerField(_("sales"))
    revenue_units = models.BigIntegerField(_("revenue"))
    unconfirmed = models.PositiveBigIntegerField(_("unconfirmed"))
    unconfirmed_units = models.BigIntegerField(_("unconfirmed revenue"))
    refunded_units = models.BigIntegerField(_("refunded"))
    fee_units = models.BigIntegerField(
        _("fees"), default=0, help_text=_("What who took the money kept, where that is known.")
    )
    owed = models.PositiveBigIntegerField(
        _("owed"), help_text=_("Paid, and not collected by their buyers.")
    )

    class Meta:
        verbose_name = _("day of sales")
        verbose_name_plural = _("days of sales")
        constraints = [
            models.UniqueConstraint(
                fields=["day", "account", "policy", "currency"], name="paywall_sales_day_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day}: {self.sales}"


class ResourceDay(models.Model):
    """What was sold of a resource in a day."""

    day = models.DateField(_("day"))
    resource = models.ForeignKey(Resource, models.CASCADE, related_name="days", db_index=False)
    currency = models.CharField(_("currency"), max_length=3)
    sales = models.PositiveBigIntegerField(_("sales"))
    revenue_units = models.BigIntegerField(_("revenue"))
    last_sale_at = models.DateTimeField(_("last sale"))

    class Meta:
        verbose_name = _("day of a resource")
        verbose_name_plural = _("days of resources")
        constraints = [
            models.UniqueConstraint(
                fields=["resource", "day", "currency"], name="paywall_resource_day_once"
            ),
        ]
        indexes = [models.Index(fields=["day"], name="paywall_resource_day")]

    def __str__(self) -> str:
        return f"{self.day}: {self.sales}"


class FailureDay(models.Model):
    """How many payments of a day came to nothing, by reason."""

    day = models.DateField(_("day"))
    state = models.CharField(_("state"), max_length=10)
    code = models.CharField(_("reason"), max_length=100)
    payments = models.PositiveBigIntegerField(_("payments"))
    delivered = models.PositiveBigIntegerField(
        _("delivered"), help_text=_("Those of them whose buyers had what they did not pay.")
    )

    class Meta:
        verbose_name = _("day of failures")
        verbose_name_plural = _("days of failures")
        constraints = [
            models.UniqueConstraint(
                fields=["day", "state", "code"], name="paywall_failure_day_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day}: {self.payments} {self.code}"


class BuyerDay(models.Model):
    """How many wallets bought in a day, by the day on which they had bought before.

    So buyers can be counted over any days, each once: those who had not bought since the first.
    """

    day = models.DateField(_("day"))
    previous_day = models.DateField(
        _("bought before on"), help_text=_("The year 1 for those who never had.")
    )
    buyers = models.PositiveBigIntegerField(_("buyers"))

    class Meta:
        verbose_name = _("day of buyers")
        verbose_name_plural = _("days of buyers")
        constraints = [
            models.UniqueConstraint(fields=["day", "previous_day"], name="paywall_buyer_day_once"),
        ]

    def __str__(self) -> str:
        return f"{self.day}: {self.buyers}"


class RollUp(models.Model):
    """How far the sums are. One row."""

    time_zone = models.CharField(_("time zone"), max_length=64)
    to_do = models.DateField(
        _("days to do"), null=True, help_text=_("Up to this day nothing is added up yet.")
    )
    event = models.PositiveBigIntegerField(_("events read up to"), default=0)
    next_event = models.PositiveBigIntegerField(_("to be read up to next"), default=0)
    noted_at = models.DateTimeField(_("noted"))
    rolled_up_at = models.DateTimeField(_("rolled up"))
    held_until = models.DateTimeField(_("held until"))
    on_balances = models.JSONField(
        _("on balances"),
        default=dict,
        help_text=_("What is on all balances together, in units, by currency."),
    )

    class Meta:
        verbose_name = _("roll-up")
        verbose_name_plural = _("roll-ups")

    def __str__(self) -> str:
        return f"{self.rolled_up_at:%Y-%m-%d %H:%M:%S}"
