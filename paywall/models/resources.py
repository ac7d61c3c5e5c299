"""What is for sale, and for how much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from paywall.vocabulary import money

from .accounts import Account
from .validators import validate_currency

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models.fields.related_descriptors import RelatedManager


class Resource(models.Model):
    """Something for sale: a view, a URL tree or one object."""

    class Policy(models.TextChoices):
        """When the money is taken, seen from the view."""

        AFTER = "after", _("after the view: a view that fails costs the buyer nothing")
        BEFORE = "before", _("before the view: for work that is dear to produce")
        BACKGROUND = "background", _("later, within limits: for cheap things and impatient buyers")

    class Access(models.TextChoices):
        """What one payment opens."""

        REQUEST = "request", _("one request")
        PERIOD = "period", _("a pass for a time")
        FOREVER = "forever", _("a pass for good")

    slug = models.SlugField(_("slug"), max_length=200, unique=True)
    title = models.CharField(_("title"), max_length=200)
    description = models.TextField(
        _("description"), blank=True, help_text=_("A teaser: every buyer sees it before paying.")
    )
    mime_type = models.CharField(
        _("mime type"), max_length=100, default="application/json", help_text=_("Of the content.")
    )
    policy = models.CharField(
        _("settlement"), max_length=12, choices=Policy.choices, default=Policy.AFTER
    )
    access = models.CharField(
        _("access"), max_length=10, choices=Access.choices, default=Access.REQUEST
    )
    pass_seconds = models.PositiveIntegerField(
        _("pass duration"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("In seconds, for a pass for a time."),
    )
    active = models.BooleanField(
        _("active"), default=True, help_text=_("If not, nobody gets in, paid or not.")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    prices: RelatedManager[Price]

    class Meta:
        verbose_name = _("resource")
        verbose_name_plural = _("resources")
        ordering = ["title"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(policy__in=["after", "before", "background"]),
                name="paywall_resource_policy_known",
            ),
            models.CheckConstraint(
                condition=(
                    models.Q(access="period", pass_seconds__isnull=False, pass_seconds__gt=0)
                    | models.Q(access__in=["request", "forever"], pass_seconds__isnull=True)
                ),
                name="paywall_resource_access_complete",
                violation_error_message=_(
                    "A pass for a time needs its duration, and nothing else has one."
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def current_price(
        self, currency: str | None = None, at: datetime | None = None
    ) -> Price | None:
        """The price in force, of the given currency or of any."""
        prices = Price.objects.filter(resource=self).in_force(at or timezone.now())
        if currency:
            prices = prices.filter(currency=currency)
        return prices.first()


class PriceQuerySet(models.QuerySet["Price"]):
    """Prices by time."""

    def in_force(self, at: datetime) -> PriceQuerySet:
        """For each resource and currency the newest price that has begun."""
        newer = Price.objects.filter(
            resource=models.OuterRef("resource"),
            currency=models.OuterRef("currency"),
            valid_from__lte=at,
        ).filter(
            models.Q(valid_from__gt=models.OuterRef("valid_from"))
            | models.Q(valid_from=models.OuterRef("valid_from"), pk__gt=models.OuterRef("pk"))
        )
        return self.filter(valid_from__lte=at).exclude(models.Exists(newer))

    def update(self, **kwargs: Any) -> int:
        raise TypeError(_FROZEN)


_FROZEN = "A price is never edited, only superseded: add a new one."


class Price(models.Model):
    """What a resource costs from a moment on. Never edited, only superseded."""

    resource = models.ForeignKey(
        Resource, models.CASCADE, related_name="prices", verbose_name=_("resource")
    )
    amount = models.DecimalField(
        _("amount"),
        max_digits=20,
        decimal_places=8,
        help_text=_("In units of the currency: 0.01 is one cent."),
    )
    currency = models.CharField(
        _("currency"), max_length=3, default="USD", validators=[validate_currency]
    )
    valid_from = models.DateTimeField(_("valid from"), default=timezone.now)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = PriceQuerySet.as_manager()

    class Meta:
        verbose_name = _("price")
        verbose_name_plural = _("prices")
        ordering = ["-valid_from", "-pk"]
        indexes = [
            models.Index(
                fields=["resource", "currency", "-valid_from"], name="paywall_price_in_force"
            )
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(amount__gt=0), name="paywall_price_amount_positive"
            ),
            models.CheckConstraint(
                condition=models.Q(currency__regex=r"^[A-Z]{3}$"), name="paywall_price_currency_iso"
            ),
        ]

    def __str__(self) -> str:
        return f"{money(self.amount)} {self.currency}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError(_FROZEN)
        super().save(*args, **kwargs)

    def clean(self) -> None:
        """An offer needs an account of the same currency that can pay the amount exactly."""
        if self.amount is None or not self.currency:
            return
        accounts = list(Account.objects.filter(enabled=True, currency=self.currency))
        if not accounts:
            raise ValidationError(
                {
                    "currency": _(
                        "There is no enabled account in %(currency)s: nobody could pay this."
                    )
                    % {"currency": self.currency}
                }
            )
        if not any(account.atomic(self.amount) for account in accounts):
            raise ValidationError(
                {"amount": _("Finer than the smallest unit of every account's token.")}
            )
