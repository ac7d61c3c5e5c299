"""Which bots an audience or a rule is about."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Bots(models.TextChoices):
    """Some bots. Those that prove to be it; only to be refused, saying so is enough."""

    SEARCH = "search", _("search engines")
    TRAIN = "train", _("crawlers for artificial intelligence")
    USER = "user", _("fetchers of one page for a person who asks")
    OTHER = "other", _("bots for something else")
    ANY = "any", _("all bots")
    ONE = "one", _("one bot, by its name")


def bot_name() -> models.CharField[str, str]:
    return models.CharField(
        _("bot's name"),
        max_length=200,
        blank=True,
        help_text=_("As in PAYWALL['BOTS'], or the host of its Signature-Agent."),
    )
