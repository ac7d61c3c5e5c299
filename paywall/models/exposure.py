"""How much is delivered and not settled yet."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.utils.translation import gettext_lazy as _

from .payments import Payment

UNITS = 10**8
"""Exposure is counted in these parts of a currency's unit, so that it is whole numbers."""


def in_currency(units: int) -> Decimal:
    """Those parts as an amount of the currency."""
    return Decimal(int(units)) / UNITS


class Exposure(models.Model):
    """What is owed to the site by one payer, or by all, for what was delivered on credit; and what
    was lost so in the last day."""

    scope = models.CharField(
        _("of whom"), max_length=120, help_text=_("A wallet, or all; and a currency.")
    )
    units = models.BigIntegerField(_("units"), default=0, help_text=_("1 is 0.00000001."))

    out_of_favour = models.BooleanField(
        _("out of favour"),
        default=False,
        help_text=_("One on credit was not paid: none more until one of theirs is confirmed."),
    )
    paced_until = models.BigIntegerField(
        _("paced until"), default=0, help_text=_("In milliseconds since 1970.")
    )

    class Meta:
        verbose_name = _("exposure")
        verbose_name_plural = _("exposures")
        ordering = ["-units"]
        constraints = [
            models.UniqueConstraint(fields=["scope"], name="paywall_exposure_scope"),
            models.CheckConstraint(
                condition=models.Q(units__gte=0), name="paywall_exposure_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope}: {self.amount}"

    @property
    def amount(self) -> Decimal:
        """In units of the currency."""
        return in_currency(self.units)


class CreditLoss(models.Model):
    """What was delivered on credit and never paid. For a day it takes up room under the limits, so
    that what is lost in a day never exceeds them; then the row goes."""

    payment = models.OneToOneField(
        Payment, models.CASCADE, related_name="+", verbose_name=_("payment")
    )
    currency = models.CharField(_("currency"), max_length=3)
    units = models.BigIntegerField(_("units"))
    at = models.DateTimeField(_("lost"), db_index=True)

    class Meta:
        verbose_name = _("loss on credit")
        verbose_name_plural = _("losses on credit")

    def __str__(self) -> str:
        return f"{in_currency(self.units)} {self.currency}"
