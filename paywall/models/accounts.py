"""Where money arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from paywall.rails.evm import networks
from paywall.rails.evm.addresses import ZERO_ADDRESS, checksum, shortened

from .validators import (
    validate_address,
    validate_currency,
    validate_facilitators,
    validate_network,
)

if TYPE_CHECKING:
    from decimal import Decimal

    from paywall.rails.evm.tokens import Token


FIXED_FIELDS = (
    "network",
    "asset",
    "decimals",
    "eip712_name",
    "eip712_version",
    "pay_to",
    "currency",
)


class Account(models.Model):
    """Where money arrives: a token on a network, and the owner's address there.

    What buyers sign is fixed once saved: offers already made and payments already taken
    refer to it. To move, add another account and disable this one.
    """

    network = models.CharField(
        _("network"),
        max_length=40,
        validators=[validate_network],
        help_text=_("CAIP-2: eip155:8453 is Base."),
    )
    asset = models.CharField(_("token contract"), max_length=42, validators=[validate_address])
    symbol = models.CharField(_("symbol"), max_length=20)
    decimals = models.PositiveSmallIntegerField(
        _("decimals"), default=6, validators=[MaxValueValidator(36)]
    )
    eip712_name = models.CharField(
        _("EIP-712 name"), max_length=100, help_text=_("As the token contract says it.")
    )
    eip712_version = models.CharField(_("EIP-712 version"), max_length=20)
    pay_to = models.CharField(
        _("pay to"),
        max_length=42,
        validators=[validate_address],
        help_text=_("Your address on that network. Only its key can spend what arrives."),
    )
    currency = models.CharField(
        _("currency"),
        max_length=3,
        default="USD",
        validators=[validate_currency],
        help_text=_("Prices in this currency can be paid here."),
    )
    confirmations = models.PositiveIntegerField(
        _("confirmations"),
        default=12,
        validators=[MinValueValidator(1)],
        help_text=_("Blocks after which a settled payment counts as final."),
    )
    finalized = models.BooleanField(
        _("wait for finality"),
        default=False,
        help_text=_("Final is what the chain itself calls finalized, however deep that is."),
    )
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

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        ordering = ["order", "pk"]
        permissions = [("approve_account", "Can approve where money arrives")]
        constraints = [
            models.UniqueConstraint(
                "network",
                "asset",
                "pay_to",
                name="paywall_account_unique",
                violation_error_message=_("There is such an account already."),
            ),
            models.CheckConstraint(
                condition=models.Q(confirmations__gte=1), name="paywall_account_confirmations"
            ),
            models.CheckConstraint(
                condition=~models.Q(pay_to__iexact=ZERO_ADDRESS),
                name="paywall_account_pay_to_not_zero",
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
        return f"{self.symbol} on {networks.title(self.network)} to {shortened(self.pay_to)}"

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Account:
        account = super().from_db(*args, **kwargs)
        account._fixed = account._fixed_values()
        return account

    _fixed: tuple[Any, ...] | None = None

    def _fixed_values(self) -> tuple[Any, ...]:
        return tuple(self.__dict__.get(name) for name in FIXED_FIELDS)

    def clean_fields(self, exclude: Any = None) -> None:
        super().clean_fields(exclude=exclude)
        if not {"asset", "pay_to"} & set(exclude or ()):
            self._canonicalise()

    def clean(self) -> None:
        if self.asset and self.pay_to and self.asset.lower() == self.pay_to.lower():
            raise ValidationError(
                {"pay_to": _("This is the token's contract: money sent there is gone.")}
            )

    def save(self, *args: Any, **kwargs: Any) -> None:
        self._canonicalise()
        if self._fixed is not None and self._fixed_values() != self._fixed:
            raise TypeError(
                "What buyers sign is fixed once an account is saved "
                f"({', '.join(FIXED_FIELDS)}). Add another account and disable this one."
            )
        self.disabled_at = None if self.enabled else (self.disabled_at or timezone.now())
        if "enabled" in (kwargs.get("update_fields") or ()):
            kwargs["update_fields"] = {*kwargs["update_fields"], "disabled_at"}
        super().save(*args, **kwargs)
        self._fixed = self._fixed_values()

    def _canonicalise(self) -> None:
        """Addresses are checksummed at the edge. Raises `ValueError`."""
        self.asset = checksum(self.asset)
        self.pay_to = checksum(self.pay_to)

    def use(self, token: Token) -> None:
        """Take all that is known of a well-known token; `pay_to` remains to be set."""
        for name in ("network", "asset", "symbol", "decimals", "eip712_name", "eip712_version"):
            setattr(self, name, getattr(token, name))
        self.currency = token.currency
        self.confirmations = token.confirmations

    def facilitator_names(self) -> list[str]:
        """Those that the owner chose for it, in order; none if it takes them as they come."""
        return [name.strip() for name in self.facilitators.split(",") if name.strip()]

    def atomic(self, amount: Decimal) -> int | None:
        """An amount of the currency in the token's smallest unit; None if it is not whole."""
        scaled = amount.scaleb(self.decimals)
        return int(scaled) if scaled == scaled.to_integral_value() and scaled > 0 else None
