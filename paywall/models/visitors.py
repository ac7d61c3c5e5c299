"""Who knocks: what is known of bots, what the owner decided about them, and how many came."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .bots import Bots, bot_name
from .resources import Resource

_THERE_IS_ONE = _("There is a rule for these already: change that one.")


class VisitorRule(models.Model):
    """What the owner decided about some visitors, of one resource or of all."""

    class Who(models.TextChoices):
        """Whom it is about: bots as above, or all who come."""

        EVERYBODY = "everybody", _("everybody")
        SEARCH = Bots.SEARCH.value, Bots.SEARCH.label
        TRAIN = Bots.TRAIN.value, Bots.TRAIN.label
        USER = Bots.USER.value, Bots.USER.label
        OTHER = Bots.OTHER.value, Bots.OTHER.label
        ANY = Bots.ANY.value, Bots.ANY.label
        ONE = Bots.ONE.value, Bots.ONE.label

    class Action(models.TextChoices):
        """What becomes of them."""

        PAY = "pay", _("pay as everybody does")
        FREE = "free", _("read without paying")
        REFUSE = "refuse", _("are refused (403)")
        MONITOR = "monitor", _("are let in, and what they would have paid is counted")

    who = models.CharField(_("who"), max_length=10, choices=Who.choices)
    bot = bot_name()
    resource = models.ForeignKey(
        Resource,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="visitor_rules",
        verbose_name=_("resource"),
        help_text=_("Empty: all that is sold."),
    )
    action = models.CharField(_("what they do"), max_length=10, choices=Action.choices)
    active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("rule for visitors")
        verbose_name_plural = _("rules for visitors")
        ordering = ["resource", "who", "bot"]
        constraints = [
            models.UniqueConstraint(
                fields=["resource", "who", "bot"],
                name="paywall_visitor_rule_once",
                violation_error_message=_THERE_IS_ONE,
            ),
            models.UniqueConstraint(
                fields=["who", "bot"],
                condition=models.Q(resource=None),
                name="paywall_visitor_rule_for_all_once",
                violation_error_message=_THERE_IS_ONE,
            ),
            models.CheckConstraint(
                condition=(models.Q(who="one") & ~models.Q(bot=""))
                | (~models.Q(who="one") & models.Q(bot="")),
                name="paywall_visitor_rule_names_one",
                violation_error_message=_("Name the bot, where the rule is for one bot only."),
            ),
            models.CheckConstraint(
                condition=~models.Q(who="everybody") | models.Q(action__in=["pay", "monitor"]),
                name="paywall_visitor_rule_is_sane",
                violation_error_message=_(
                    "What everybody may read, or nobody, is not sold: make the resource inactive, "
                    "or take its price away."
                ),
            ),
        ]

    def __str__(self) -> str:
        whom = self.bot or self.get_who_display()
        return f"{whom}: {self.get_action_display()}"


class BotSource(models.Model):
    """A document that says which requests are a bot's: a list of addresses, or its keys. Fetched by
    the worker, never in a request."""

    class Kind(models.TextChoices):
        """What it holds."""

        ADDRESSES = "addresses", _("list of addresses")
        DIRECTORY = "directory", _("directory of keys (Web Bot Auth)")

    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    url = models.CharField(_("URL"), max_length=500, unique=True)
    named = models.BooleanField(
        _("named in the settings"),
        default=True,
        help_text=_("If not, a request pointed to it (Signature-Agent)."),
    )
    content = models.JSONField(_("content"), null=True, blank=True)
    fetched_at = models.DateTimeField(_("fetched"), null=True, blank=True)
    due_at = models.DateTimeField(_("fetched next"), default=timezone.now, db_index=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    error = models.CharField(_("last error"), max_length=200, blank=True)
    used_at = models.DateTimeField(_("asked for last"), default=timezone.now)

    class Meta:
        verbose_name = _("source about bots")
        verbose_name_plural = _("sources about bots")
        ordering = ["url"]

    def __str__(self) -> str:
        return self.url


class BotAddress(models.Model):
    """An address that says that it is a bot's, and what reverse DNS has to say of that."""

    bot = models.CharField(_("bot"), max_length=200)
    address = models.GenericIPAddressField(_("address"))
    verified = models.BooleanField(_("verified"), null=True, blank=True)
    due_at = models.DateTimeField(_("looked up next"), default=timezone.now, db_index=True)

    class Meta:
        verbose_name = _("address of a bot")
        verbose_name_plural = _("addresses of bots")
        constraints = [
            models.UniqueConstraint(fields=["address", "bot"], name="paywall_bot_address_once"),
        ]

    def __str__(self) -> str:
        return f"{self.bot} {self.address}"


class VisitorDay(models.Model):
    """How many requests of one kind of visitors a resource had in a day, and how they ended.

    The owner's days. Counted in memory and added here now and then: no row a request, and nobody's
    address.
    """

    day = models.DateField(_("day"))
    resource = models.ForeignKey(
        Resource, models.CASCADE, related_name="+", db_index=False, verbose_name=_("resource")
    )
    kind = models.CharField(_("kind of visitor"), max_length=10)
    bot = models.CharField(_("bot"), max_length=200, blank=True)
    purpose = models.CharField(_("purpose"), max_length=10, blank=True)
    currency = models.CharField(_("currency"), max_length=3)
    asked = models.PositiveBigIntegerField(_("told the price"), default=0)
    paid = models.PositiveBigIntegerField(_("paid"), default=0)
    returned = models.PositiveBigIntegerField(_("had paid before"), default=0)
    free = models.PositiveBigIntegerField(_("read without paying"), default=0)
    refused = models.PositiveBigIntegerField(_("refused"), default=0)
    monitored = models.PositiveBigIntegerField(_("let in and counted"), default=0)
    revenue_units = models.BigIntegerField(_("revenue"), default=0)
    missed_units = models.BigIntegerField(_("would have been paid"), default=0)

    class Meta:
        verbose_name = _("day of visitors")
        verbose_name_plural = _("days of visitors")
        constraints = [
            models.UniqueConstraint(
                fields=["day", "resource", "kind", "bot", "currency"],
                name="paywall_visitor_day_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day}: {self.bot or self.kind}"
