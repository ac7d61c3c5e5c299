"""How far old rows have been looked through for what is personal."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class RetentionMark(models.Model):
    """Of one kind of rows, and one thing that is forgotten of them: all below are done."""

    what = models.CharField(_("what"), max_length=60, unique=True)
    begun_at = models.DateTimeField(_("begun"), default=timezone.now)
    done_to = models.PositiveBigIntegerField(_("done up to"), default=0)

    class Meta:
        verbose_name = _("retention mark")
        verbose_name_plural = _("retention marks")

    def __str__(self) -> str:
        return f"{self.what}: {self.done_to}"
