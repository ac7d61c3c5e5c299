"""One claim, and all that happened to it. Only the ledger writes `state`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from paywall.money import money
from paywall.vocabulary import Offer

from .accounts import Account
from .guarded import Guarded, GuardedModel
from .literals import one_of
from .resources import Resource

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager


class State(models.TextChoices):
    """The life of a payment; `docs/architecture.md` draws it."""

    CLAIMED = "claimed", _("claimed")
    SETTLING = "settling", _("settling")
    SETTLED = "settled", _("settled")
    CONFIRMED = "confirmed", _("confirmed")
    FAILED = "failed", _("failed")
    LOST = "lost", _("lost")


WAITING = (State.CLAIMED, State.SETTLING, State.SETTLED)
"""States in which the engine looks at a payment."""
OPEN = (*WAITING, State.LOST)
PAID = (State.SETTLED, State.CONFIRMED)

_LOST = models.Q(state=State.LOST)
_UNPAID = models.Q(state=State.FAILED, delivered_at__isnull=False)


class PaymentQuerySet(Guarded["Payment"]):
    """Payments by what has to be done about them."""

    writer = "paywall.ledger"

    def due(self) -> PaymentQuerySet:
        """Those that the engine shall look at, and on which nobody works."""
        now = timezone.now()
        return self.waiting().filter(due_at__lte=now, held_until__lte=now)

    def waiting(self) -> PaymentQuerySet:
        """Those that are on their way."""
        return self.filter(one_of("state", WAITING))

    def losses(self) -> PaymentQuerySet:
        """Those that were lost, or delivered and never paid."""
        return self.filter(_LOST | _UNPAID, closed_at__isnull=False)

    def needing_attention(self) -> PaymentQuerySet:
        """Those that the paywall cannot resolve by itself: the owner must look."""
        every = Payment.objects.using(self.db).order_by()
        keys = every.losses().values("pk").union(every.stuck().values("pk"))
        return self.filter(pk__in=keys)

    def stuck(self) -> PaymentQuerySet:
        """Those in `settling` that will hardly get out of it by themselves."""
        long_ago = timezone.now() - timedelta(minutes=10)
        expired = models.Q(expires_at__lt=long_ago)
        # What never expires is looked at by its age.
        endless = models.Q(expires_at__isnull=True, created_at__lt=long_ago)
        return self.waiting().filter(expired | endless, state=State.SETTLING)

    def open(self) -> PaymentQuerySet:
        """Those that are on their way, and the lost ones."""
        return self.filter(one_of("state", OPEN))


class Payment(GuardedModel):
    """One claim on a buyer's money, with its state."""

    State = State

    identity = models.CharField(_("identity"), max_length=255, editable=False)
    resource = models.ForeignKey(
        Resource, models.PROTECT, related_name="payments", verbose_name=_("resource")
    )
    account = models.ForeignKey(
        Account,
        models.PROTECT,
        related_name="payments",
        db_index=False,
        verbose_name=_("account"),
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        verbose_name=_("user"),
        help_text=_("Who was signed in when paying."),
    )

    idempotency_key = models.CharField(
        _("idempotency key"),
        max_length=128,
        blank=True,
        help_text=_("By which the buyer knows the request; the same one is never charged twice."),
    )
    request_digest = models.CharField(_("digest of the request"), max_length=64, blank=True)
    holder = models.CharField(
        _("holder"),
        max_length=64,
        blank=True,
        editable=False,
        help_text=_("Of the browser that paid: the hash of its secret."),
    )

    method = models.CharField(_("method"), max_length=20)
    url = models.TextField(_("URL"))
    protocol = models.CharField(_("protocol"), max_length=20)
    offer = models.JSONField(_("offer"), help_text=_("What was offered and taken."))
    payload = models.JSONField(
        _("payload"),
        null=True,
        blank=True,
        help_text=_("What the buyer handed over. Whoever has it can settle it."),
    )

    rail = models.CharField(_("rail"), max_length=20)
    network = models.CharField(_("network"), max_length=80, blank=True)
    payer = models.CharField(
        _("payer"), max_length=128, null=True, blank=True, help_text=_("If it is known.")
    )
    # Digits, not numbers: 256 bits exceed what databases count with (SQLite: 15 digits).
    authorized = models.CharField(
        _("authorized"), max_length=78, help_text=_("So much at most, in the smallest unit.")
    )
    used = models.CharField(
        _("used"),
        max_length=78,
        null=True,
        blank=True,
        help_text=_("Of what is charged by use: so much is to be taken, in the smallest unit."),
    )
    captured = models.CharField(
        _("captured"),
        max_length=78,
        null=True,
        blank=True,
        help_text=_("So much was taken, in the smallest unit; nothing while it is not settled."),
    )
    price = models.DecimalField(
        _("price"),
        max_digits=20,
        decimal_places=8,
        help_text=_("What was agreed; once settled, what was taken."),
    )
    currency = models.CharField(_("currency"), max_length=3)

    state = models.CharField(
        _("state"), max_length=10, choices=State.choices, default=State.CLAIMED
    )
    policy = models.CharField(
        _("settlement"),
        max_length=12,
        choices=Resource.Policy.choices,
        help_text=_("The resource's policy when it was sold."),
    )
    on_credit = models.BooleanField(
        _("on credit"), default=False, help_text=_("Delivered before it was settled.")
    )
    facilitator = models.CharField(
        _("facilitator"),
        max_length=40,
        blank=True,
        help_text=_("Who was asked to settle it: nobody else is while the outcome is unknown."),
    )
    error_code = models.CharField(_("error"), max_length=100, blank=True)
    error_detail = models.TextField(_("error detail"), blank=True)
    reference = models.CharField(
        _("reference"),
        max_length=255,
        blank=True,
        help_text=_("By what its rail knows it: a transaction, say."),
    )
    position = models.PositiveBigIntegerField(
        _("position"),
        null=True,
        blank=True,
        help_text=_("Where it stands on its rail's line of time: a block's number, say."),
    )
    evidence = models.JSONField(
        _("evidence"), default=dict, blank=True, help_text=_("What else proves it.")
    )
    fee = models.DecimalField(
        _("fee"),
        max_digits=20,
        decimal_places=8,
        null=True,
        blank=True,
        help_text=_("What who took the money kept of it, in the payment's currency; if known."),
    )
    refunded = models.CharField(
        _("refunded"),
        max_length=78,
        default="0",
        help_text=_("In the smallest unit: paid back, or about to be."),
    )

    attempts = models.PositiveIntegerField(
        _("attempts"), default=1, help_text=_("How often somebody took this payment up.")
    )
    held_until = models.DateTimeField(
        _("held until"), help_text=_("Until then somebody works on it, and nobody else does.")
    )
    due_at = models.DateTimeField(
        _("due"), help_text=_("When the engine looks at it next, if it is not final.")
    )
    expires_at = models.DateTimeField(
        _("expires"),
        null=True,
        blank=True,
        help_text=_("When what the buyer handed over ceases to be good."),
    )
    created_at = models.DateTimeField(_("claimed"), default=timezone.now, db_index=True)
    settled_at = models.DateTimeField(_("settled"), null=True, blank=True)
    delivered_at = models.DateTimeField(_("delivered"), null=True, blank=True)
    confirmed_at = models.DateTimeField(_("confirmed"), null=True, blank=True)
    closed_at = models.DateTimeField(
        _("closed"), null=True, blank=True, help_text=_("When it failed or was lost.")
    )

    objects = PaymentQuerySet.as_manager()
    events: RelatedManager[PaymentEvent]
    refunds: RelatedManager[Any]

    class Meta:
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        ordering = ["-pk"]
        permissions = [("look_again_payment", "Can have payments settled and looked for now")]
        # Every payment passes through each of these: none is here that no query of ours uses, and
        # a delivery changes no indexed column.
        indexes = [
            models.Index(
                fields=["due_at"],
                condition=models.Q(state__in=["claimed", "settling", "settled"]),
                name="paywall_payment_due",
            ),
            models.Index(
                fields=["account", "state"],
                condition=models.Q(state__in=["claimed", "settling", "settled", "lost"]),
                name="paywall_payment_open",
            ),
            models.Index(
                fields=["account", "position"],
                condition=models.Q(position__isnull=False),
                name="paywall_payment_position",
            ),
            models.Index(
                fields=["user"],
                condition=models.Q(user__isnull=False),
                name="paywall_payment_user",
            ),
            models.Index(
                fields=["holder", "resource"],
                condition=models.Q(delivered_at__isnull=True) & ~models.Q(holder=""),
                name="paywall_payment_owed",
            ),
            models.Index(fields=["payer", "created_at"], name="paywall_payment_payer"),
            models.Index(
                fields=["payer"],
                condition=models.Q(state__in=["settled", "confirmed"]),
                name="paywall_payment_paid",
            ),
            models.Index(
                fields=["closed_at"],
                condition=models.Q(closed_at__isnull=False),
                name="paywall_payment_closed",
            ),
            models.Index(
                fields=["reference"],
                condition=~models.Q(reference=""),
                name="paywall_payment_reference",
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["identity"], name="paywall_payment_identity"),
            models.UniqueConstraint(
                fields=["payer", "idempotency_key"],
                condition=~models.Q(idempotency_key="") & ~models.Q(state="failed"),
                name="paywall_payment_key_once",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=State.values), name="paywall_payment_state_known"
            ),
            models.CheckConstraint(
                condition=models.Q(authorized__regex=r"^[1-9][0-9]*$"),
                name="paywall_payment_authorized_positive",
            ),
            models.CheckConstraint(
                condition=models.Q(captured__isnull=True)
                | models.Q(captured__regex=r"^(0|[1-9][0-9]*)$"),
                name="paywall_payment_captured_digits",
            ),
            models.CheckConstraint(
                condition=models.Q(used__isnull=True) | models.Q(used__regex=r"^(0|[1-9][0-9]*)$"),
                name="paywall_payment_used_digits",
            ),
            models.CheckConstraint(
                condition=~models.Q(state__in=["settled", "confirmed"])
                | models.Q(settled_at__isnull=False, captured__isnull=False),
                name="paywall_payment_settled_has_amount",
            ),
            models.CheckConstraint(
                condition=~models.Q(state__in=["settled", "confirmed"])
                | ~models.Q(reference="")
                | models.Q(captured="0"),
                name="paywall_payment_settled_has_reference",
            ),
            models.CheckConstraint(
                condition=~models.Q(state="confirmed") | models.Q(confirmed_at__isnull=False),
                name="paywall_payment_confirmed_has_time",
            ),
            models.CheckConstraint(
                condition=models.Q(delivered_at__isnull=True)
                | models.Q(settled_at__isnull=False)
                | models.Q(on_credit=True),
                name="paywall_payment_delivered_was_settled",
            ),
            models.CheckConstraint(
                condition=~models.Q(state__in=["failed", "lost"])
                | (models.Q(closed_at__isnull=False) & ~models.Q(error_code="")),
                name="paywall_payment_closed_has_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.cost} ({self.state})"

    @property
    def cost(self) -> str:
        """What was paid, for people."""
        return f"{money(self.price)} {self.currency}"

    @property
    def story(self) -> list[tuple[datetime, str, dict[str, Any]]]:
        """All that happened to it, in order: when, what, and what is known of it.

        Its claim and its delivery are facts of the row; its moves are events.
        """
        facts = [(self.created_at, "claimed", {"on_credit": True} if self.on_credit else {})]
        if self.delivered_at is not None:
            facts.append((self.delivered_at, "delivered", {}))
        facts += [(event.at, event.kind, event.data) for event in self.events.all()]
        return sorted(facts, key=lambda fact: fact[0])

    @property
    def atomic_amount(self) -> int:
        """What it is about, in atomic units: what was taken, or else what will be."""
        return int(next(one for one in (self.captured, self.used, self.authorized) if one))

    @property
    def is_by_use(self) -> bool:
        """Whether what it may take is the most, and what was used is taken."""
        return bool(self.offer.get("at_most"))

    @property
    def taken_offer(self) -> Offer:
        return Offer.from_snapshot(self.offer)


class PaymentEvent(models.Model):
    """One thing that happened to a payment. Append-only."""

    payment = models.ForeignKey(
        Payment, models.CASCADE, related_name="events", verbose_name=_("payment")
    )
    kind = models.CharField(_("event"), max_length=40)
    data = models.JSONField(_("data"), default=dict, blank=True)
    at = models.DateTimeField(_("at"), default=timezone.now)

    class Meta:
        verbose_name = _("payment event")
        verbose_name_plural = _("payment events")
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:%Y-%m-%d %H:%M:%S}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("Payment events are append-only.")
        super().save(*args, **kwargs)
