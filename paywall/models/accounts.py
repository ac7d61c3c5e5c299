"""Where money arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from paywall.money import shortened
from paywall.rails import registry
from paywall.rails.base import Unacceptable

from .validators import validate_currency, validate_facilitators

if TYPE_CHECKING:
    from decimal import Decimal

    from paywall.rails.base import Rail


class AccountQuerySet(models.QuerySet["Account"]):
    """Accounts."""

    def open(self) -> list[Account]:
        """Those that are paid to now, as buyers are offered them: enabled, and in the sandbox those
        of play money alone."""
        rows = self.filter(enabled=True).order_by("order", "pk")
        return [account for account in rows if registry.is_open(account.rail)]


class Account(models.Model):
    """Where money arrives: on which rail, in what, and to whom.

    What buyers rely on is fixed once saved: offers already made and payments already taken refer
    to it. To move, add another account and disable this one.
    """

    rail = models.CharField(_("rail"), max_length=20, default="evm", editable=False)
    network = models.CharField(
        _("network"), max_length=80, blank=True, help_text=_("Where on its rail.")
    )
    symbol = models.CharField(_("symbol"), max_length=20)
    decimals = models.PositiveSmallIntegerField(
        _("decimals"), default=6, validators=[MaxValueValidator(36)]
    )
    currency = models.CharField(
        _("currency"),
        max_length=3,
        default="USD",
        validators=[validate_currency],
        help_text=_("Prices in this currency can be paid here."),
    )
    terms = models.JSONField(
        _("terms"), default=dict, editable=False, help_text=_("What its rail has to know.")
    )
    identity = models.CharField(_("identity"), max_length=255, editable=False)
    facilitators = models.CharField(
        _("facilitators"),
        max_length=200,
        blank=True,
        validators=[validate_facilitators],
        help_text=_("Names from PAYWALL['FACILITATORS'], the first choice first. Empty: all."),
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    disabled_at = models.DateTimeField(_("disabled"), null=True, blank=True, editable=False)
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        verbose_name=_("proposed by"),
        help_text=_("Who wants money to arrive here, and waits for a second person's approval."),
    )
    proposed = models.JSONField(
        _("proposed"),
        default=dict,
        blank=True,
        editable=False,
        help_text=_("What makes payments final sooner, and waits for a second person's approval."),
    )
    order = models.PositiveIntegerField(
        _("order"), default=0, help_text=_("Buyers are offered the lowest first.")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = AccountQuerySet.as_manager()

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        ordering = ["order", "pk"]
        permissions = [("approve_account", "Can approve where money arrives")]
        constraints = [
            models.UniqueConstraint(
                "rail",
                "identity",
                name="paywall_account_unique",
                violation_error_message=_("There is such an account already."),
            ),
            models.CheckConstraint(
                condition=~models.Q(identity=""), name="paywall_account_has_identity"
            ),
            models.CheckConstraint(
                condition=models.Q(enabled=True, disabled_at__isnull=True)
                | models.Q(enabled=False, disabled_at__isnull=False),
                name="paywall_account_disabled_at",
            ),
            models.CheckConstraint(
                condition=models.Q(currency__regex=r"^[A-Z]{3}$"),
                name="paywall_account_currency_iso",
            ),
        ]

    def __str__(self) -> str:
        where = registry.network(self.network).title
        return f"{self.symbol} on {where} to {shortened(self.recipient)}"

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Account:
        account = super().from_db(*args, **kwargs)
        account._fixed = account._fixed_values()
        return account

    _fixed: dict[str, Any] | None = None

    def _fixed_values(self) -> dict[str, Any]:
        names = ("rail", "network", "decimals", "currency")
        values = {name: self.__dict__.get(name) for name in names}
        terms, rail = self.__dict__.get("terms") or {}, registry.all_().get(str(values["rail"]))
        fixed = rail.fixed_terms if rail is not None else terms.keys()
        return {**values, **{name: terms.get(name) for name in sorted(fixed)}}

    @property
    def its_rail(self) -> Rail:
        """Raises `LookupError` if the settings do not know it any more."""
        return registry.named(self.rail)

    @property
    def recipient(self) -> str:
        """To whom the money goes, as the owner knows it."""
        rail = registry.all_().get(self.rail)
        return rail.recipient(self.terms) if rail is not None else ""

    def clean(self) -> None:
        try:
            self._canonicalise()
        except Unacceptable as error:
            raise ValidationError({error.field: str(error)}) from error

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises `Unacceptable`, a `ValueError`, for terms that its rail does not take."""
        self._canonicalise()
        fixed = self._fixed_values()
        if self._fixed is not None and fixed != self._fixed:
            raise TypeError(
                "What buyers rely on is fixed once an account is saved "
                f"({', '.join(fixed)}). Add another account and disable this one."
            )
        self.disabled_at = None if self.enabled else (self.disabled_at or timezone.now())
        if "enabled" in (kwargs.get("update_fields") or ()):
            kwargs["update_fields"] = {*kwargs["update_fields"], "disabled_at"}
        super().save(*args, **kwargs)
        self._fixed = fixed

    def _canonicalise(self) -> None:
        rail = self.its_rail
        self.terms = rail.read_terms(self.network, self.terms)
        self.identity = rail.account_identity(self.network, self.terms)

    def facilitator_names(self) -> list[str]:
        """Those that the owner chose for it, in order; none if it takes them as they come."""
        return [name.strip() for name in self.facilitators.split(",") if name.strip()]

    def atomic(self, amount: Decimal) -> int | None:
        """An amount of the currency in the smallest unit; None if it is not whole."""
        scaled = amount.scaleb(self.decimals)
        return int(scaled) if scaled == scaled.to_integral_value() and scaled > 0 else None
