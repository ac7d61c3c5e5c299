"""What machines may do with what is sold, who may have tokens for it, and the tokens."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .payments import Payment
from .resources import Resource
from .unguessable import unguessable

USAGES = (
    ("all", _("any automated use")),
    ("ai-all", _("any use by artificial intelligence")),
    ("ai-train", _("training of models")),
    ("ai-input", _("as input of an answer")),
    ("ai-index", _("in an index of artificial intelligence")),
    ("search", _("search results with short excerpts")),
)
"""Of RSL 1.0, section 3.5."""


class UsageTerms(models.Model):
    """What machines may do with one resource, or with all: said as RSL 1.0 and AIPREF have it.

    Words, not a lock: the gate asks for money whatever stands here.
    """

    class Compensation(models.TextChoices):
        """What for."""

        PRICE = "price", _("its price, each time it is fetched")
        FREE = "free", _("nothing")
        ATTRIBUTION = "attribution", _("a visible credit with a link")
        BY_AGREEMENT = "agreement", _("an agreement, at the address below")

    class Preference(models.TextChoices):
        """A preference of AIPREF."""

        YES = "y", _("allowed")
        NO = "n", _("not allowed")

    resource = models.OneToOneField(
        Resource,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="usage_terms",
        verbose_name=_("resource"),
        help_text=_("Empty: all that is sold, and the site besides."),
    )
    permits = models.CharField(
        _("may be used for"),
        max_length=100,
        blank=True,
        help_text=_("If something is named, all else is not permitted (RSL)."),
    )
    prohibits = models.CharField(_("must not be used for"), max_length=100, blank=True)
    compensation = models.CharField(
        _("in return for"),
        max_length=12,
        choices=Compensation.choices,
        default=Compensation.PRICE,
    )
    agreement_url = models.URLField(_("address of the agreement"), blank=True)
    terms_url = models.URLField(_("terms for people to read"), blank=True)
    by_token = models.BooleanField(
        _("tokens"),
        default=False,
        help_text=_("Clients are told to get a token first (OLP), and may pay for it there."),
    )
    train_ai = models.CharField(
        _("training of models (AIPREF)"), max_length=1, choices=Preference.choices, blank=True
    )
    search = models.CharField(
        _("search (AIPREF)"), max_length=1, choices=Preference.choices, blank=True
    )
    active = models.BooleanField(_("active"), default=True)

    class Meta:
        verbose_name = _("terms for machines")
        verbose_name_plural = _("terms for machines")
        constraints = [
            models.UniqueConstraint(
                fields=["active"],
                condition=models.Q(resource=None, active=True),
                name="paywall_usage_terms_for_all_once",
                violation_error_message=_("There are terms for all already: change those."),
            ),
            models.CheckConstraint(
                condition=~models.Q(compensation="agreement") | ~models.Q(agreement_url=""),
                name="paywall_usage_terms_say_where",
                violation_error_message=_("An agreement needs its address."),
            ),
        ]

    def __str__(self) -> str:
        return str(self.resource) if self.resource is not None else str(_("all that is sold"))


class LicenseClient(models.Model):
    """A program whose owner you know, and that may ask for license tokens (OLP)."""

    name = models.CharField(_("name"), max_length=100)
    client_id = models.CharField(
        _("client id"), max_length=40, unique=True, default=unguessable, editable=False
    )
    secret_hash = models.CharField(_("hash of its secret"), max_length=64, editable=False)
    agreed = models.ManyToManyField(
        Resource,
        blank=True,
        related_name="+",
        verbose_name=_("has an agreement for"),
        help_text=_("Its tokens for these cost nothing; for all else it pays."),
    )
    active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    class Meta:
        verbose_name = _("license client")
        verbose_name_plural = _("license clients")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class LicenseToken(models.Model):
    """One token: opens one resource to who brings it, so often, until a time."""

    secret_hash = models.CharField(
        _("hash of the token"), max_length=64, unique=True, editable=False
    )
    client = models.ForeignKey(
        LicenseClient, models.PROTECT, related_name="tokens", verbose_name=_("client")
    )
    resource = models.ForeignKey(
        Resource, models.CASCADE, related_name="+", verbose_name=_("resource")
    )
    payment = models.ForeignKey(
        Payment,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="license_tokens",
        verbose_name=_("payment"),
    )
    uses_left = models.PositiveIntegerField(
        _("uses left"), null=True, blank=True, help_text=_("Any number, if empty.")
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires"), db_index=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)

    class Meta:
        verbose_name = _("license token")
        verbose_name_plural = _("license tokens")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"token #{self.pk} for {self.resource_id}"
