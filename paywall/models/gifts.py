"""Links by which somebody else may read what was bought."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .payments import Payment
from .resources import Resource
from .unguessable import unguessable


class Gift(models.Model):
    """A gift link: opens one resource to so many readers until a time.

    Made by who paid, or by staff. What was paid for it goes back: so does what it opened.
    """

    public_id = models.CharField(
        _("public id"), max_length=40, unique=True, default=unguessable, editable=False
    )
    resource = models.ForeignKey(
        Resource, models.CASCADE, related_name="gifts", verbose_name=_("resource")
    )
    url = models.TextField(_("page"), help_text=_("Where the link leads."))
    payment = models.ForeignKey(
        Payment,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="gifts",
        verbose_name=_("payment"),
        help_text=_("Of the reader who gives it away."),
    )
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("given by"),
    )
    uses = models.PositiveIntegerField(
        _("readers"), default=1, validators=[MinValueValidator(1)], help_text=_("At most.")
    )
    used = models.PositiveIntegerField(_("used"), default=0, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires"))
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)

    class Meta:
        verbose_name = _("gift link")
        verbose_name_plural = _("gift links")
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(used__lte=models.F("uses")), name="paywall_gift_within_uses"
            ),
        ]

    def __str__(self) -> str:
        return f"gift #{self.pk} of {self.resource_id}"
