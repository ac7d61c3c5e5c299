"""Rules for visitors, and what is known about bots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.utils.translation import gettext_lazy as _

from paywall import staff_log
from paywall.models import BotSource, VisitorRule
from paywall.visitors import recognition

from .base import ReadOnly

if TYPE_CHECKING:
    from django.http import HttpRequest

    VisitorRuleAdminBase = admin.ModelAdmin[VisitorRule]
    BotSourceAdminBase = admin.ModelAdmin[BotSource]
else:
    VisitorRuleAdminBase = BotSourceAdminBase = admin.ModelAdmin


@admin.register(VisitorRule)
class VisitorRuleAdmin(VisitorRuleAdminBase):
    list_display = ["whom", "action", "where", "active"]
    list_filter = ["action", "who", "active"]
    list_select_related = ["resource"]
    search_fields = ["bot", "resource__title", "resource__slug"]
    autocomplete_fields = ["resource"]
    fields = ["who", "bot", "action", "resource", "active"]

    def save_model(self, request: HttpRequest, obj: VisitorRule, form: Any, change: bool) -> None:
        before = VisitorRule.objects.filter(pk=obj.pk).first() if change else None
        super().save_model(request, obj, form, change)
        names = ("who", "bot", "action", "resource_id", "active")
        staff_log.compared(request.user, before, obj, names)
        if obj.active and _needs_proof(obj) and not recognition.can_be_proven():
            text = _(
                "Nobody can prove to be a bot yet, so nobody is let in by this rule: name bots in "
                "PAYWALL['BOTS'], or set PAYWALL['WEB_BOT_AUTH'] (docs/crawlers.md)."
            )
            messages.warning(request, text)

    @admin.display(description=_("who"), ordering="who")
    def whom(self, rule: VisitorRule) -> str:
        return rule.bot or rule.get_who_display()

    @admin.display(description=_("resource"), ordering="resource")
    def where(self, rule: VisitorRule) -> str:
        return str(rule.resource) if rule.resource is not None else str(_("all that is sold"))


def _needs_proof(rule: VisitorRule) -> bool:
    lets_in = rule.action in (VisitorRule.Action.FREE, VisitorRule.Action.MONITOR)
    return lets_in and rule.who != VisitorRule.Who.EVERYBODY


@admin.register(BotSource)
class BotSourceAdmin(ReadOnly, BotSourceAdminBase):
    """Lists of addresses and directories of keys, and when they were fetched."""

    list_display = ["url", "kind", "named", "fetched_at", "due_at", "error"]
    list_filter = ["kind", "named"]
    search_fields = ["url"]
    fields = [
        *("url", "kind", "named", "fetched_at", "due_at", "used_at", "failures", "error"),
        "content",
    ]
