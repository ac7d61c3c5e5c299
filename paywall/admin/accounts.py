"""Accounts: each rail has a form of its own, and says how an account can be tried."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from paywall import conf, qr, staff_log
from paywall.dashboard.shell import wants_fragment
from paywall.models import Account
from paywall.money import shortened
from paywall.rails import registry
from paywall.rails.base import ShowsAccounts

from .base import OnlyUnused

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    from paywall.rails.base import Coin, Rail

    AccountFormBase = forms.ModelForm[Account]
    ModelAdminBase = admin.ModelAdmin[Account]
else:
    AccountFormBase = forms.ModelForm
    ModelAdminBase = admin.ModelAdmin

FIXED = ("network", "symbol", "decimals", "currency")
"""What no account changes once it is saved, whatever its rail; each rail has more."""


class AccountForm(AccountFormBase):
    """An account on a rail, whose terms are fields of the form. A rail says which."""

    rail: ClassVar[str] = ""
    terms_fields: ClassVar[tuple[str, ...]] = ()
    """The fields that are the account's terms."""
    first: ClassVar[tuple[str, ...]] = ()
    """The fields that are asked for at the top of a new account's page."""
    by_hand: ClassVar[tuple[str, ...]] = FIXED
    """The other ones."""
    by_hand_title: ClassVar[Any] = _("Fixed")
    by_hand_help: ClassVar[Any] = ""
    network_help: ClassVar[Any] = ""

    class Meta:
        model = Account
        fields = (*FIXED, "facilitators", "order", "enabled")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fixed = registry.named(self.rail).fixed_terms
        for name in self.terms_fields if self.instance.pk else ():
            if name in fixed:
                del self.fields[name]
            else:
                self.initial.setdefault(name, self.instance.terms.get(name))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        self.instance.rail = self.rail
        known = self.instance.terms if self.instance.pk else {}
        typed = {name: cleaned[name] for name in self.terms_fields if name in cleaned}
        self.instance.terms = {**known, **typed}
        return cleaned

    def _post_clean(self) -> None:
        # A rail's complaint about a field that the form does not have is the whole form's.
        if not self.errors:
            super()._post_clean()  # type: ignore[misc]

    def add_error(self, field: Any, error: Any) -> None:
        told = getattr(error, "error_dict", None)
        if field is None and told:
            for name, errors in told.items():
                super().add_error(name if name in self.fields else None, errors)
            return
        super().add_error(field, error)


def filled_in(coin: Coin, wallet: str, *, enabled: bool = True) -> Any:
    """The form of a new account, as the owner of the wallet fills it in."""
    typed = {"preset": coin.key, "pay_to": wallet, "order": 0}
    form_class = registry.named(coin.rail).account_form()
    return form_class({**typed, **({"enabled": "on"} if enabled else {})})


@admin.register(Account)
class AccountAdmin(OnlyUnused, ModelAdminBase):
    list_display = ["coin", "paid_to", "currency", "order", "enabled", "standing"]
    list_editable = ["order", "enabled"]
    list_filter = ["enabled", "rail", "network", "currency"]
    list_select_related = ["proposed_by"]
    search_fields = ["identity", "symbol"]
    actions = ["approve"]

    class Media:
        css = {"all": ["paywall/admin.css"]}

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.test_view)
        return [path("<int:pk>/test/", view, name="paywall_account_test"), *super().get_urls()]

    def _rail(self, request: HttpRequest, obj: Account | None) -> Rail:
        """An account's own; for a new one what `?rail=` says, or our first."""
        if obj is not None:
            return obj.its_rail
        rails = registry.by_hand()
        name = request.GET.get("rail", rails[0].name)
        found = next((rail for rail in rails if rail.name == name), None)
        if found is None:
            raise Http404("There is no such rail.")
        return found

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kw: Any
    ) -> Any:
        kw["form"] = self._rail(request, obj).account_form()
        kw["fields"] = [name for name in kw["form"]._meta.fields if not (obj and name in FIXED)]
        kw["help_texts"] = {"network": kw["form"].network_help}
        return super().get_form(request, obj, change, **kw)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        rail = self._rail(request, obj)
        form = rail.account_form()
        own = [name for name in form._meta.fields if name not in FIXED]
        if obj is None:
            by_hand = {
                "fields": form.by_hand,
                "classes": ["collapse"] if "preset" in form.first else [],
                "description": form.by_hand_help,
            }
            at_top = {"fields": [*form.first, *own], "description": _other_rails(rail)}
            return [(None, at_top), (form.by_hand_title, by_hand)]
        loose = [name for name in form.terms_fields if name not in rail.fixed_terms]
        fixed = [*FIXED, *_shown(rail, obj)]
        tried = ["balance", "try_it"] if registry.able(obj.rail, ShowsAccounts) else []
        text = _(
            "Fixed: offers and payments refer to it. To move, add another account and "
            "disable this one."
        )
        first = ["paid_to_in_full", *loose, *own, *tried]
        return [
            (None, {"fields": first}),
            (form.by_hand_title, {"fields": fixed, "description": text}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        own = ["paid_to_in_full", "balance", "try_it"]
        return [*FIXED, *own, *_shown(self._rail(request, obj), obj)] if obj else []

    # ------------------------------------------------------------------------- Columns

    @admin.display(description=_("coin"), ordering="network")
    def coin(self, account: Account) -> str | SafeString:
        network = registry.network(account.network)
        label = f"{account.symbol} on {network.title}" if network.title else account.symbol
        if network.testnet:
            return format_html(
                '{} <span class="paywall-testnet">{}</span>', label, _("test network")
            )
        return label

    @admin.display(description=_("pay to"), ordering="identity")
    def paid_to(self, account: Account) -> str:
        return shortened(account.recipient)

    @admin.display(description=_("pay to"))
    def paid_to_in_full(self, account: Account) -> str:
        return account.recipient

    @admin.display(description=_("waits for"))
    def standing(self, account: Account) -> str:
        if account.proposed_by is None:
            return ""
        return gettext("approval by somebody other than %s") % account.proposed_by

    @admin.display(description=_("balance"))
    def balance(self, account: Account) -> str:
        rail = registry.able(account.rail, ShowsAccounts)
        return rail.balance_text(account) if rail is not None else "–"

    @admin.display(description=_("try it"))
    def try_it(self, account: Account) -> str | SafeString:
        url = reverse("admin:paywall_account_test", args=[account.pk])
        return format_html('<a class="button" href="{}">{}</a>', url, _("Take a test payment"))

    # ---------------------------------------------------------------- Changes of money's way

    def save_model(self, request: HttpRequest, obj: Account, form: Any, change: bool) -> None:
        before = Account.objects.filter(pk=obj.pk).first() if change else None
        opens = obj.enabled and (before is None or not before.enabled)
        if opens and conf.get().two_person_rule:
            obj.enabled, obj.proposed_by_id = False, request.user.pk
            messages.warning(
                request,
                gettext("No money goes there before a second person approves %s.") % obj,
            )
        elif before is not None and conf.get().two_person_rule and _is_laxer(obj, before):
            obj.proposed = {k: v for k, v in obj.terms.items() if v != before.terms.get(k)}
            obj.terms = before.terms
            obj.proposed_by_id = request.user.pk
            messages.warning(
                request,
                gettext("Payments to %s become final sooner once a second person approves it.")
                % obj,
            )
            staff_log.write(request.user, obj, f"Proposed: {obj.proposed}")
        super().save_model(request, obj, form, change)
        if before is None:
            where = f"{obj.recipient} ({obj.network})"
            staff_log.changed(request.user, obj, "pay to", "–", where)
            return
        staff_log.compared(request.user, before, obj, ("enabled", "order", "facilitators"))
        for name, value in obj.terms.items():
            if value != before.terms.get(name):
                staff_log.changed(request.user, obj, name, before.terms.get(name), value)

    def has_approve_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("paywall.approve_account")

    @admin.action(description=_("Approve: money may arrive there"), permissions=["approve"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        for account in queryset.select_related("proposed_by"):
            if account.proposed_by is None:
                messages.info(request, gettext("%s waits for nobody.") % account)
            elif account.proposed_by_id == request.user.pk:
                messages.error(
                    request, gettext("You proposed %s: somebody else has to approve it.") % account
                )
            else:
                by, account.proposed_by = account.proposed_by, None
                if account.proposed:
                    for name, value in account.proposed.items():
                        was = account.terms.get(name)
                        staff_log.changed(request.user, account, name, was, value)
                    account.terms = {**account.terms, **account.proposed}
                    account.proposed = {}
                else:
                    account.enabled = True
                account.save()
                staff_log.changed(
                    request.user, account, "approved", f"proposed by {by}", account.recipient
                )
                messages.success(request, gettext("Money can arrive at %s now.") % account)

    # --------------------------------------------------------------------------- A trial

    def test_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """A small payment by hand, and a look whether it came."""
        account = get_object_or_404(Account, pk=pk)
        if not self.has_view_permission(request, account):
            raise PermissionDenied
        rail = registry.able(account.rail, ShowsAccounts)
        if rail is None:
            raise Http404("An account on this rail cannot be tried.")
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": _("A test payment"),
            "opts": self.opts,
            "account": account,
            **rail.trial(request, account),
        }
        context["qr"] = qr.drawn(context["uri"])
        context["frame"] = (
            "paywall/admin/bare_live.html" if wants_fragment(request) else "admin/base_site.html"
        )
        return TemplateResponse(request, "paywall/admin/test_payment.html", context)


def _other_rails(rail: Rail) -> SafeString | str:
    """Links to the pages of accounts on other rails, where there are others."""
    others = [other for other in registry.by_hand() if other is not rail]
    if not others:
        return ""
    links = format_html_join(", ", '<a href="?rail={}">{}</a>', [(o.name, o.title) for o in others])
    return format_html("{} {}", _("Another way to be paid:"), links)


def _shown(rail: Rail, account: Account) -> list[Any]:
    """An account's fixed terms, to be read; but the recipient, who stands at the top."""
    form = rail.account_form()
    others = {name for name in rail.fixed_terms if account.terms.get(name) != account.recipient}
    fixed = [name for name in form.terms_fields if name in others]
    return [_term(name, form.base_fields[name].label or name) for name in fixed]


@cache
def _term(name: str, label: str) -> Any:
    @admin.display(description=label)
    def shown(account: Account) -> str:
        return str(account.terms.get(name, "–"))

    return shown


def _is_laxer(after: Account, before: Account) -> bool:
    """Whether payments would be final sooner."""
    return after.its_rail.is_laxer(
        after.its_rail.read_terms(after.network, after.terms), before.terms
    )
