"""What the site itself sends to chains, and how far it has read them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from paywall import conf

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager


class Wallet(models.Model):
    """An address of ours that sends transactions. Its row is the lock on its next nonce."""

    network = models.CharField(_("network"), max_length=40)
    address = models.CharField(_("address"), max_length=42)
    next_nonce = models.PositiveBigIntegerField(_("next nonce"), default=0)
    # Digits: a balance in wei does not fit in 64 bits.
    balance = models.CharField(_("balance"), max_length=78, blank=True, help_text=_("In wei."))
    balance_at = models.DateTimeField(_("balance read"), null=True, blank=True)

    class Meta:
        verbose_name = _("wallet")
        verbose_name_plural = _("wallets")
        constraints = [
            models.UniqueConstraint("network", "address", name="paywall_wallet_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.address} on {self.network}"

    @property
    def coins(self) -> Decimal | None:
        """Its balance in the chain's coin, as last read."""
        return Decimal(self.balance).scaleb(-18) if self.balance else None

    @property
    def is_low(self) -> bool:
        """Whether it will soon not be able to pay for gas."""
        return self.coins is not None and self.coins < conf.get().gas_low


class Transaction(models.Model):
    """One nonce of one of our wallets, and what it was used for.

    Written before it is sent, with all that is needed to sign it again: sending it twice does
    no harm, and a crash between the two loses nothing.
    """

    class State(models.TextChoices):
        SIGNED = "signed", _("signed")
        MINED = "mined", _("mined")
        DROPPED = "dropped", _("dropped")

    wallet = models.ForeignKey(
        Wallet, models.PROTECT, related_name="transactions", verbose_name=_("wallet")
    )
    nonce = models.PositiveBigIntegerField(_("nonce"))
    to = models.CharField(_("to"), max_length=42)
    data = models.TextField(_("data"))
    gas = models.PositiveBigIntegerField(_("gas limit"))
    max_fee = models.PositiveBigIntegerField(_("most for a unit of gas"), help_text=_("In wei."))
    tip = models.PositiveBigIntegerField(_("tip for a unit of gas"), help_text=_("In wei."))
    hash = models.CharField(_("hash"), max_length=80, db_index=True)
    earlier_hashes = models.JSONField(
        _("earlier hashes"), default=list, help_text=_("Of what it replaced, for lower fees.")
    )
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.SIGNED)
    created_at = models.DateTimeField(_("written"), default=timezone.now)
    signed_at = models.DateTimeField(_("signed"), default=timezone.now)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    trouble = models.CharField(_("trouble"), max_length=300, blank=True)
    succeeded = models.BooleanField(_("succeeded"), null=True, blank=True)
    block_number = models.PositiveBigIntegerField(_("block"), null=True, blank=True)
    gas_used = models.PositiveBigIntegerField(_("gas used"), null=True, blank=True)

    gas_price = models.PositiveBigIntegerField(
        _("price of gas"), null=True, blank=True, help_text=_("For a unit, in wei.")
    )

    carries: RelatedManager[Carriage]

    class Meta:
        verbose_name = _("transaction")
        verbose_name_plural = _("transactions")
        ordering = ["-pk"]
        indexes = [models.Index(fields=["state", "created_at"], name="paywall_tx_work")]
        constraints = [
            models.UniqueConstraint("wallet", "nonce", name="paywall_tx_nonce_used_once"),
        ]

    def __str__(self) -> str:
        return f"{self.hash[:10]}… ({self.state})"

    @property
    def fee(self) -> Decimal | None:
        """What it cost in the chain's coin; None while no block has it."""
        if self.gas_used is None or self.gas_price is None:
            return None
        return Decimal(self.gas_used * self.gas_price).scaleb(-18)

    @property
    def hashes(self) -> list[str]:
        """All that this nonce was signed as, the newest first."""
        return [self.hash, *self.earlier_hashes]


class Carriage(models.Model):
    """What a transaction carries: an authorization by its identity, or a refund."""

    transaction = models.ForeignKey(
        Transaction, models.CASCADE, related_name="carries", verbose_name=_("transaction")
    )
    identity = models.CharField(_("identity"), max_length=255)

    class Meta:
        verbose_name = _("carriage")
        verbose_name_plural = _("carriages")
        constraints = [
            models.UniqueConstraint("transaction", "identity", name="paywall_carriage_unique"),
        ]
        indexes = [models.Index(fields=["identity"], name="paywall_carriage_identity")]

    def __str__(self) -> str:
        return self.identity


class Cursor(models.Model):
    """How far a token's logs have been read, for accounts that want the same depth."""

    network = models.CharField(_("network"), max_length=40)
    asset = models.CharField(_("token contract"), max_length=42)
    depth = models.CharField(
        _("depth"), max_length=20, help_text=_("Confirmations, or “finalized”.")
    )
    block_number = models.PositiveBigIntegerField(_("read up to block"))
    block_hash = models.CharField(_("its hash"), max_length=80)
    block_time = models.DateTimeField(_("its time"))
    read_at = models.DateTimeField(_("read"), default=timezone.now)
    held_until = models.DateTimeField(_("held until"), default=timezone.now)

    class Meta:
        verbose_name = _("cursor")
        verbose_name_plural = _("cursors")
        constraints = [
            models.UniqueConstraint("network", "asset", "depth", name="paywall_cursor_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.network} {self.asset} at {self.block_number}"


class FacilitatorHealth(models.Model):
    """How a facilitator has been doing. Written when that changes, not at every call."""

    name = models.CharField(_("name"), max_length=40, unique=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    avoided_until = models.DateTimeField(
        _("avoided until"), null=True, blank=True, help_text=_("If others can be asked.")
    )
    last_trouble = models.CharField(_("last trouble"), max_length=300, blank=True)
    changed_at = models.DateTimeField(_("changed"), default=timezone.now)
    supported = models.JSONField(
        _("supported"), default=dict, blank=True, help_text=_("What it says that it can do.")
    )
    asked_at = models.DateTimeField(
        _("asked"), null=True, blank=True, help_text=_("When it was last asked what it can do.")
    )

    class Meta:
        verbose_name = _("facilitator's health")
        verbose_name_plural = _("facilitators' health")

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.last_trouble = self.last_trouble[:300]
        super().save(*args, **kwargs)
