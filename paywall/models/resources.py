"""What is for sale, and for how much."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib.contenttypes.fields import GenericForeignKey
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from paywall import conf
from paywall.money import MOST, money

from .accounts import Account
from .audiences import Audience
from .meters import Meter
from .validators import (
    validate_currency,
    validate_interface,
    validate_methods,
    validate_path,
)

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

    class PaymentHeader(models.TextChoices):
        """Where clients of MPP are told to pay."""

        AUTHORIZATION = "authorization", "Authorization"
        OWN = "own", "Payment-Authorization"

    class Access(models.TextChoices):
        """What one payment opens."""

        REQUEST = "request", _("one request")
        PERIOD = "period", _("a pass for a time")
        FOREVER = "forever", _("a pass for good")
        BALANCE = "balance", _("nothing yet: its price goes onto the buyer's balance")

    PASSES = (Access.PERIOD, Access.FOREVER)

    slug = models.SlugField(_("slug"), max_length=200, unique=True)
    title = models.CharField(_("title"), max_length=200)
    description = models.TextField(
        _("description"), blank=True, help_text=_("A teaser: every buyer sees it before paying.")
    )
    mime_type = models.CharField(
        _("type of content"),
        max_length=100,
        default="application/json",
        help_text=_("As programs are told: application/json, text/html."),
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
    by_use = models.BooleanField(
        _("charged by use"),
        default=False,
        help_text=_(
            "The price is the most that a request may cost; the view says what it used, and that "
            "is taken (docs/metering.md)."
        ),
    )
    interface = models.JSONField(
        _("what it takes and gives"),
        null=True,
        blank=True,
        validators=[validate_interface],
        help_text=_(
            "For programs that have never seen it (docs/discovery.md): "
            '{"query": JSON Schema, "example": {...}, "answer": {...}}.'
        ),
    )
    active = models.BooleanField(
        _("active"), default=True, help_text=_("If not, nobody gets in, paid or not.")
    )
    bundle = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="bundled",
        verbose_name=_("bundle"),
        help_text=_(
            "Something with a pass that opens this too: the section, or everything for a day. It "
            "is offered beside it."
        ),
    )
    listed = models.BooleanField(
        _("listed"),
        default=True,
        help_text=_("Named where programs and people look for what is sold here."),
    )
    path = models.CharField(
        _("path rule"),
        max_length=300,
        blank=True,
        validators=[validate_path],
        help_text=_(
            "Sells existing URLs by PaywallMiddleware: /archive/** is all below, * one segment. "
            "Empty: sold by code."
        ),
    )
    methods = models.CharField(
        _("methods"),
        max_length=60,
        blank=True,
        validators=[validate_methods],
        help_text=_("Of the path rule, with commas: GET, POST. Empty: all."),
    )
    payment_header = models.CharField(
        _("header of MPP's payments"),
        max_length=13,
        choices=PaymentHeader.choices,
        blank=True,
        help_text=_(
            "Payment-Authorization, where Authorization is for tokens of your own; empty: "
            "as the setting PAYMENT_AUTHORIZATION says. Both are read."
        ),
    )
    meter = models.ForeignKey(
        Meter,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="resources",
        verbose_name=_("metered month"),
        help_text=_("Readers have some of its resources free each month."),
    )
    content_type = models.ForeignKey(
        "contenttypes.ContentType",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        verbose_name=_("kind of object"),
    )
    object_id = models.CharField(_("object"), max_length=64, null=True, blank=True)
    sold_object = GenericForeignKey("content_type", "object_id")
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    prices: RelatedManager[Price]
    price_now: Price | None
    """Where `attach_prices` put it."""

    class Meta:
        verbose_name = _("resource")
        verbose_name_plural = _("resources")
        ordering = ["title"]
        indexes = [
            models.Index(
                fields=["path"], condition=~models.Q(path=""), name="paywall_resource_rules"
            ),
            models.Index(
                fields=["active"],
                condition=models.Q(access="balance"),
                name="paywall_resource_top_ups",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["content_type", "object_id"], name="paywall_resource_of_object"
            ),
            models.UniqueConstraint(
                fields=["path", "methods"],
                condition=~models.Q(path=""),
                name="paywall_resource_rule_once",
                violation_error_message=_("Another resource has this path rule."),
            ),
            models.CheckConstraint(
                condition=models.Q(policy__in=["after", "before", "background"]),
                name="paywall_resource_policy_known",
            ),
            models.CheckConstraint(
                condition=(
                    models.Q(access="period", pass_seconds__isnull=False, pass_seconds__gt=0)
                    | models.Q(
                        access__in=["request", "forever", "balance"], pass_seconds__isnull=True
                    )
                ),
                name="paywall_resource_access_complete",
                violation_error_message=_(
                    "A pass for a time needs its duration, and nothing else has one."
                ),
            ),
            models.CheckConstraint(
                condition=models.Q(by_use=False)
                | (models.Q(access="request") & ~models.Q(policy="before")),
                name="paywall_resource_by_use_is_known",
                violation_error_message=_(
                    "What is charged by use is known after the view: for one request, and not "
                    "before the view."
                ),
            ),
            models.CheckConstraint(
                condition=~models.Q(access="balance") | ~models.Q(policy="background"),
                name="paywall_resource_balance_is_settled",
                violation_error_message=_(
                    "A balance is topped up with money that is there: settle before or after the "
                    "view, not later."
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def clean(self) -> None:
        """Methods in one spelling, so that a rule cannot stand there twice."""
        names = {name.strip() for name in self.methods.split(",")} - {""}
        self.methods = ", ".join(sorted(names))
        if self.bundle is not None and (
            self.bundle_id == self.pk or self.bundle.access not in self.PASSES
        ):
            raise ValidationError({"bundle": _("It has to be another one, with a pass.")})

    def current_price(
        self, currency: str | None = None, at: datetime | None = None
    ) -> Price | None:
        """The price in force for everyone, of the given currency or of any."""
        prices = Price.objects.filter(resource=self, audience=None).in_force(at or timezone.now())
        if currency:
            prices = prices.filter(currency=currency)
        return prices.first()


class PriceQuerySet(models.QuerySet["Price"]):
    """Prices by time."""

    def in_force(self, at: datetime) -> PriceQuerySet:
        """For each resource, audience and currency the newest price that has begun."""
        newer = Price.objects.filter(
            resource=models.OuterRef("resource"),
            currency=models.OuterRef("currency"),
            valid_from__lte=at,
        ).filter(
            models.Q(valid_from__gt=models.OuterRef("valid_from"))
            | models.Q(valid_from=models.OuterRef("valid_from"), pk__gt=models.OuterRef("pk"))
        )
        for_the_same = models.Exists(newer.filter(audience=models.OuterRef("audience")))
        for_everyone = models.Q(audience=None) & models.Exists(newer.filter(audience=None))
        return self.filter(valid_from__lte=at).exclude(for_the_same).exclude(for_everyone)

    def update(self, **kwargs: Any) -> int:
        raise TypeError(_FROZEN)


_JUST_NOW = timedelta(minutes=2)
_FROZEN = "A price is never edited, only superseded: add a new one."


class Price(models.Model):
    """What a resource costs an audience from a moment on. Never edited, only superseded.

    An amount of zero is a free quota: so many requests, then the other prices count.
    """

    class FreePer(models.TextChoices):
        """For whom free requests are counted."""

        USER = "user", _("signed-in user")
        WALLET = "wallet", _("wallet (Sign-In-With-X)")
        ADDRESS = "address", _("network address range")
        ALL = "all", _("all together")

    class FreeEvery(models.TextChoices):
        """When counting begins anew."""

        DAY = "day", _("every day")
        EVER = "ever", _("never")

    resource = models.ForeignKey(
        Resource, models.CASCADE, related_name="prices", verbose_name=_("resource")
    )
    amount = models.DecimalField(
        _("amount"),
        max_digits=20,
        decimal_places=8,
        validators=[MaxValueValidator(MOST)],
        help_text=_("In units of the currency: 0.01 is one cent."),
    )
    currency = models.CharField(
        _("currency"), max_length=3, default="USD", validators=[validate_currency]
    )
    audience = models.ForeignKey(
        Audience,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="prices",
        verbose_name=_("audience"),
        help_text=_("Whom it is for; empty: everyone. The cheapest that fits a buyer counts."),
    )
    free_uses = models.PositiveIntegerField(
        _("free requests"),
        null=True,
        blank=True,
        help_text=_("With an amount of zero: how many are free. Then the other prices count."),
    )
    free_per = models.CharField(
        _("counted for each"), max_length=10, choices=FreePer.choices, blank=True
    )
    free_balance = models.DecimalField(
        _("least balance"),
        max_digits=20,
        decimal_places=8,
        null=True,
        blank=True,
        help_text=_(
            "Counted for each wallet: what a wallet must have, in the currency. Anybody can make "
            "any number of empty wallets. It is read from the chain, so the network needs a node."
        ),
    )
    free_every = models.CharField(
        _("counted anew"), max_length=10, choices=FreeEvery.choices, blank=True
    )
    valid_from = models.DateTimeField(
        _("valid from"), default=timezone.now, help_text=_("Now, or when it shall take effect.")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = PriceQuerySet.as_manager()

    supersedes: Price | None = None
    """What it took the place of; known where it was put just now (`paywall.catalog.pricing`)."""

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
                condition=models.Q(amount__gt=0, free_uses__isnull=True, free_per="", free_every="")
                | models.Q(
                    amount=0,
                    audience__isnull=False,
                    free_uses__gt=0,
                    free_per__in=["user", "wallet", "address", "all"],
                    free_every__in=["day", "ever"],
                ),
                name="paywall_price_positive_or_limited",
                violation_error_message=_(
                    "A price is more than zero; or zero for an audience, with how many requests "
                    "are free, for whom they are counted, and when they are counted anew."
                ),
            ),
            models.CheckConstraint(
                condition=models.Q(currency__regex=r"^[A-Z]{3}$"), name="paywall_price_currency_iso"
            ),
            models.CheckConstraint(
                condition=models.Q(amount__lte=MOST), name="paywall_price_not_too_much"
            ),
        ]

    def __str__(self) -> str:
        if self.free_uses is not None:
            per, every = self.get_free_per_display(), self.get_free_every_display()
            return gettext("%(uses)d free for each %(per)s, counted anew %(every)s") % {
                "uses": self.free_uses,
                "per": per,
                "every": every,
            }
        return f"{money(self.amount)} {self.currency}"

    def _check_that_it_comes_into_force(self) -> None:
        if self.resource_id is None or self.valid_from is None or not self._state.adding:
            return
        now = timezone.now()
        if now - _JUST_NOW < self.valid_from <= now:
            self.valid_from = now  # forms know no fractions of a second
        newer = Price.objects.filter(
            resource=self.resource_id,
            audience=self.audience_id,
            currency=self.currency,
            valid_from__gt=self.valid_from,
            valid_from__lte=now,
        )
        if newer.exists():
            raise ValidationError(
                {"valid_from": _("A newer price is in force already: this one would never be.")}
            )

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError(_FROZEN)
        super().save(*args, **kwargs)

    def clean(self) -> None:
        """It will be in force some day, and an offer needs an account of the same currency that can
        pay the amount exactly."""
        self._check_that_it_comes_into_force()
        if not self.amount or not self.currency:
            return
        accounts = Account.objects.filter(currency=self.currency).open()
        if not accounts and conf.get().sandbox:
            return  # it makes its own
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
