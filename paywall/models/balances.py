"""What buyers have paid ahead, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from paywall.money import money

from .exposure import in_currency
from .guarded import Guarded, GuardedModel
from .literals import Literal
from .payments import Payment
from .refunds import Refund
from .resources import Resource

if TYPE_CHECKING:
    from decimal import Decimal

IS_OPEN = models.Q(state=Literal("open"))


class Balance(models.Model):
    """A holder's money in one currency: a signed-in user's, or else a browser's.

    It is what its entries say: those that were not undone add up to it. It is never below zero.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
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
        help_text=_("Of a browser whose user is not signed in: the hash of its secret."),
    )
    currency = models.CharField(_("currency"), max_length=3)
    units = models.BigIntegerField(
        _("amount"), default=0, help_text=_("Whole units, so that every database adds exactly.")
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    changed_at = models.DateTimeField(_("changed"), default=timezone.now)
    asked_back_at = models.DateTimeField(
        _("asked back"),
        null=True,
        blank=True,
        help_text=_("When its holder asked to have the rest refunded."),
    )

    class Meta:
        verbose_name = _("balance")
        verbose_name_plural = _("balances")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "currency"],
                condition=models.Q(user__isnull=False),
                name="paywall_balance_of_user",
            ),
            models.UniqueConstraint(
                fields=["holder", "currency"],
                condition=~models.Q(holder=""),
                name="paywall_balance_of_browser",
            ),
            models.CheckConstraint(
                condition=models.Q(units__gte=0), name="paywall_balance_never_negative"
            ),
        ]
        indexes = [
            models.Index(
                fields=["-id"],
                condition=models.Q(asked_back_at__isnull=False),
                name="paywall_balance_asked_back",
            ),
            models.Index(fields=["currency", "units"], name="paywall_balance_held"),
        ]

    def __str__(self) -> str:
        return f"balance #{self.pk}: {self.worth}"

    @property
    def amount(self) -> Decimal:
        return in_currency(self.units)

    @property
    def worth(self) -> str:
        """What is on it, for people."""
        return f"{money(self.amount)} {self.currency}"


class BalanceEntryQuerySet(Guarded["BalanceEntry"]):
    writer = "paywall.ledger"


class BalanceEntry(GuardedModel):
    """One change of a balance: with its sign, and never edited.

    What is spent is `open` from the moment it is taken until the page has gone out; if none does,
    it is `undone` and the money is back.
    """

    class Kind(models.TextChoices):
        TOP_UP = "topup", _("topped up")
        SPENT = "spent", _("spent")
        REFUND = "refund", _("refunded")
        TAKEN_BACK = "taken", _("taken back with its payment")

    class State(models.TextChoices):
        OPEN = "open", _("open")
        DONE = "done", _("done")
        UNDONE = "undone", _("undone")

    balance = models.ForeignKey(
        Balance, models.PROTECT, related_name="entries", verbose_name=_("balance")
    )
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    units = models.BigIntegerField(_("amount"))
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.DONE)
    payment = models.ForeignKey(
        Payment,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="balance_entries",
        verbose_name=_("payment"),
        help_text=_("What topped it up."),
    )
    refund = models.OneToOneField(
        Refund,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="balance_entry",
        verbose_name=_("refund"),
    )
    resource = models.ForeignKey(
        Resource,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("resource"),
        help_text=_("What it was spent on."),
    )
    url = models.TextField(_("URL"), blank=True)
    holder = models.CharField(
        _("holder"),
        max_length=64,
        blank=True,
        editable=False,
        help_text=_("Of the browser that spends it: the hash of its secret."),
    )
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    held_until = models.DateTimeField(_("held until"), default=timezone.now)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    objects = BalanceEntryQuerySet.as_manager()

    class Meta:
        verbose_name = _("entry of a balance")
        verbose_name_plural = _("entries of balances")
        ordering = ["-pk"]
        indexes = [
            models.Index(
                fields=["holder", "resource"],
                condition=models.Q(state="open"),
                name="paywall_entry_to_be_had",
            ),
            models.Index(
                fields=["held_until"],
                condition=models.Q(state="open"),
                name="paywall_entry_open",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["payment", "kind"],
                condition=~models.Q(state="undone"),
                name="paywall_entry_of_payment_once",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["open", "done", "undone"]),
                name="paywall_entry_state_known",
            ),
            models.CheckConstraint(
                condition=models.Q(kind="topup", units__gt=0, payment__isnull=False)
                | models.Q(kind="taken", units__lte=0, payment__isnull=False)
                | models.Q(kind="refund", units__lt=0, refund__isnull=False)
                | models.Q(kind="spent", units__lt=0, resource__isnull=False),
                name="paywall_entry_says_why",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {money(self.amount)} of balance #{self.balance_id} ({self.state})"

    @property
    def amount(self) -> Decimal:
        """With its sign."""
        return in_currency(self.units)
