"""What a person starts on the page and pays outside of the request."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from paywall.money import money
from paywall.vocabulary import Offer

from .accounts import Account
from .guarded import Guarded, GuardedModel
from .literals import Literal
from .payments import Payment
from .resources import Resource
from .unguessable import unguessable

IS_OPEN = models.Q(state=Literal("open"))
NEEDS_A_LOOK = ~models.Q(trouble=Literal(""))


class OrderQuerySet(Guarded["Order"]):
    writer = "paywall.ledger"


class Order(GuardedModel):
    """One resource, at one price, for one holder. When its money is seen, it becomes a Payment.

    Money that came late is taken all the same. What is more than it takes (paid twice) or less
    stands in `trouble`, for the owner to see.
    """

    class State(models.TextChoices):
        OPEN = "open", _("open")
        PAID = "paid", _("paid")
        EXPIRED = "expired", _("expired")
        LATE = "late", _("paid late")

    public_id = models.CharField(_("public id"), max_length=40, default=unguessable, editable=False)
    resource = models.ForeignKey(
        Resource, models.PROTECT, related_name="orders", verbose_name=_("resource")
    )
    account = models.ForeignKey(
        Account, models.PROTECT, related_name="orders", verbose_name=_("account")
    )
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
        help_text=_("Of the browser that ordered: the hash of its secret."),
    )
    method = models.CharField(_("method"), max_length=20)
    url = models.TextField(_("URL"))
    policy = models.CharField(_("settlement"), max_length=12, choices=Resource.Policy.choices)
    rail = models.CharField(_("rail"), max_length=20)
    offer = models.JSONField(_("offer"), help_text=_("What was offered and is to be paid."))
    price = models.DecimalField(_("price"), max_digits=20, decimal_places=8)
    currency = models.CharField(_("currency"), max_length=3)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.OPEN)
    reference = models.CharField(
        _("reference"),
        max_length=255,
        null=True,
        blank=True,
        help_text=_("By what its rail knows the order: a checkout session, say."),
    )
    payment = models.OneToOneField(
        Payment,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="order",
        verbose_name=_("payment"),
    )
    misfits = models.ManyToManyField(
        Payment,
        related_name="misfit_of",
        blank=True,
        verbose_name=_("money that does not fit"),
        help_text=_("Too little, once more, or in another token: to be refunded."),
    )
    trouble = models.TextField(_("trouble"), blank=True)
    created_at = models.DateTimeField(_("ordered"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires"))
    paid_at = models.DateTimeField(_("paid at"), null=True, blank=True)

    objects = OrderQuerySet.as_manager()

    class Meta:
        verbose_name = _("order")
        verbose_name_plural = _("orders")
        ordering = ["-pk"]
        indexes = [
            models.Index(
                fields=["expires_at"],
                condition=models.Q(state="open"),
                name="paywall_order_open",
            ),
            models.Index(fields=["holder", "resource"], name="paywall_order_of_holder"),
            models.Index(
                fields=["created_at"],
                condition=~models.Q(trouble=""),
                name="paywall_order_trouble",
            ),
            models.Index(
                fields=["rail", "expires_at"],
                condition=models.Q(reference__isnull=False),
                name="paywall_order_awaited",
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["public_id"], name="paywall_order_public_id"),
            models.UniqueConstraint(
                fields=["rail", "reference"],
                condition=models.Q(reference__isnull=False),
                name="paywall_order_reference_once",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["open", "paid", "expired", "late"]),
                name="paywall_order_state_known",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    state__in=["paid", "late"], payment__isnull=False, paid_at__isnull=False
                )
                | models.Q(state__in=["open", "expired"], payment__isnull=True),
                name="paywall_order_paid_has_payment",
            ),
        ]

    def __str__(self) -> str:
        return f"order {self.public_id} of {self.cost} ({self.state})"

    @property
    def cost(self) -> str:
        """What is to be paid, for people."""
        return f"{money(self.price)} {self.currency}"

    @property
    def taken_offer(self) -> Offer:
        return Offer.from_snapshot(self.offer)
