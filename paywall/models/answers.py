"""What a payment with a key of its buyer's was answered, for who asks the same again."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .payments import Payment


class KeptAnswer(models.Model):
    """The response that a payment bought. A buyer who lost it, and asks again with the same key,
    gets this: the same, without the view and without paying."""

    payment = models.OneToOneField(
        Payment, models.CASCADE, related_name="kept_answer", verbose_name=_("payment")
    )
    status = models.PositiveSmallIntegerField(_("status"))
    headers = models.JSONField(_("headers"), default=dict)
    body = models.BinaryField(_("body"))
    created_at = models.DateTimeField(_("kept"), default=timezone.now)

    class Meta:
        verbose_name = _("kept answer")
        verbose_name_plural = _("kept answers")
        indexes = [models.Index(fields=["created_at"], name="paywall_answer_age")]

    def __str__(self) -> str:
        return f"answer of payment #{self.payment_id}"
