"""Accounts: for a well-known coin, only the address has to be typed; and it can be tried."""

from __future__ import annotations

import contextlib
import secrets
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from paywall import conf, staff_log
from paywall.dashboard.shell import wants_fragment
from paywall.effects import run
from paywall.models import Account
from paywall.models.accounts import FIXED_FIELDS
from paywall.rails.evm import networks, transfers
from paywall.rails.evm.addresses import shortened
from paywall.rails.evm.rpc import Node, NodeError
from paywall.rails.evm.tokens import TOKENS

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    AccountFormBase = forms.ModelForm[Account]
    ModelAdminBase = admin.ModelAdmin[Account]
else:
    AccountFormBase = forms.ModelForm
    ModelAdminBase = admin.ModelAdmin

FROM_PRESET = ("network", "asset", "symbol", "decimals", "eip712_name", "eip712_version")

PATIENCE = 3.0
"""Seconds that a page waits for a node."""

TEST_PRICE = Decimal("0.01")
"""A test payment is a little more than that: by its last digits it is known again."""


def quick_node(network: str) -> Node | None:
    """The network's node, asked by somebody who waits for a page."""
    settings = conf.get()
    urls = settings.rpc_nodes(network)
    return Node(urls, min(PATIENCE, settings.rpc_timeout)) if urls else None


class NewAccountForm(AccountFormBase):
    """A preset fills in what it knows; without one, everything is typed."""

    preset = forms.ChoiceField(
        label=_("Coin"),
        required=False,
        initial="usdc-base",
        choices=[
            ("", _("another token: fill in all fields")),
            *((token.key, token.label) for token in TOKENS.values()),
        ],
        help_text=_("Choose one and type only the address to pay to."),
    )

    class Meta:
        model = Account
        fields = "__all__"
        labels = {"pay_to": _("Pay to (your address)")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.data.get(self.add_prefix("preset")):
            for name in (*FROM_PRESET, "currency", "confirmations"):
                self.fields[name].required = False

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        token = TOKENS.get(cleaned.get("preset", ""))
        if token is not None:
            for name in FROM_PRESET:
                cleaned[name] = getattr(token, name)
            cleaned["currency"] = token.currency
            if "confirmations" not in self.changed_data or not cleaned.get("confirmations"):
                cleaned["confirmations"] = token.confirmations
        self._check_recipient(cleaned.get("network") or "", cleaned.get("pay_to") or "")
        return cleaned

    def _check_recipient(self, network: str, pay_to: str) -> None:
        """What is sent to a token's contract is gone. A node, where there is one, knows all of
        them; without one only the well-known ones are known."""
        if not pay_to:
            return
        is_token = any(token.asset.lower() == pay_to.lower() for token in TOKENS.values())
        node = quick_node(network)
        if not is_token and node is not None:
            # The check is a help: a node that is away keeps nobody from selling.
            with contextlib.suppress(NodeError):
                is_token = run(node.is_token(pay_to))
        if is_token:
            self.add_error("pay_to", _("This is a token's contract: money sent there is gone."))


@admin.register(Account)
class AccountAdmin(ModelAdminBase):
    list_display = ["coin", "paid_to", "currency", "confirmations", "order", "enabled", "standing"]
    list_editable = ["order", "enabled"]
    list_filter = ["enabled", "network", "currency"]
    list_select_related = ["proposed_by"]
    search_fields = ["pay_to", "asset", "symbol"]
    actions = ["approve"]

    class Media:
        css = {"all": ["paywall/admin.css"]}

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.test_view)
        return [path("<int:pk>/test/", view, name="paywall_account_test"), *super().get_urls()]

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kw: Any
    ) -> Any:
        if obj is None:
            kw["form"] = NewAccountForm
        return super().get_form(request, obj, change, **kw)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        by_hand = (
            _("Token"),
            {
                "fields": [*FROM_PRESET, "currency"],
                "classes": [] if obj else ["collapse"],
                "description": _("Leave these alone if you chose a coin above."),
            },
        )
        if obj is not None:
            by_hand[1]["description"] = _(
                "Fixed: offers and payments refer to it. To move, add another account and "
                "disable this one."
            )
        first = ["pay_to", "confirmations", "finalized", "facilitators", "order", "enabled"]
        if obj is None:
            return [(None, {"fields": ["preset", *first]}), by_hand]
        return [(None, {"fields": [*first, "balance", "try_it"]}), by_hand]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [*FIXED_FIELDS, "balance", "try_it"] if obj else []

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"preset": "usdc-base", **super().get_changeform_initial_data(request)}

    # ------------------------------------------------------------------------- Columns

    @admin.display(description=_("coin"), ordering="network")
    def coin(self, account: Account) -> str | SafeString:
        label = f"{account.symbol} on {networks.title(account.network)}"
        if networks.is_testnet(account.network):
            return format_html(
                '{} <span class="paywall-testnet">{}</span>', label, _("test network")
            )
        return label

    @admin.display(description=_("pay to"), ordering="pay_to")
    def paid_to(self, account: Account) -> str:
        return shortened(account.pay_to)

    @admin.display(description=_("waits for"))
    def standing(self, account: Account) -> str:
        if account.proposed_by is None:
            return ""
        return gettext("approval by somebody other than %s") % account.proposed_by

    @admin.display(description=_("balance"))
    def balance(self, account: Account) -> str:
        node = quick_node(account.network)
        if node is None:
            return gettext("not known: no node is set for this network")
        try:
            units = run(node.balance_of(account.asset, account.pay_to))
        except NodeError as error:
            return gettext("not known: %s") % error
        return f"{Decimal(units).scaleb(-account.decimals).normalize():f} {account.symbol}"

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
            obj.proposed = {"confirmations": obj.confirmations, "finalized": obj.finalized}
            obj.confirmations, obj.finalized = before.confirmations, before.finalized
            obj.proposed_by_id = request.user.pk
            messages.warning(
                request,
                gettext("Payments to %s become final sooner once a second person approves it.")
                % obj,
            )
            staff_log.write(request.user, obj, f"Proposed: {obj.proposed}")
        super().save_model(request, obj, form, change)
        if before is None:
            staff_log.changed(request.user, obj, "pay to", "–", f"{obj.pay_to} ({obj.network})")
            return
        names = ("enabled", "order", "confirmations", "finalized", "facilitators")
        staff_log.compared(request.user, before, obj, names)

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
                    before = f"{account.confirmations}, {account.finalized}"
                    account.confirmations = account.proposed["confirmations"]
                    account.finalized = account.proposed["finalized"]
                    account.proposed = {}
                    after = f"{account.confirmations}, {account.finalized}"
                    staff_log.changed(request.user, account, "confirmations", before, after)
                else:
                    account.enabled = True
                account.save()
                staff_log.changed(
                    request.user, account, "approved", f"proposed by {by}", account.pay_to
                )
                messages.success(request, gettext("Money can arrive at %s now.") % account)

    # --------------------------------------------------------------------------- A trial

    def test_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """A QR code for a small payment by hand, and a look for it on the chain."""
        account = get_object_or_404(Account, pk=pk)
        if not self.has_view_permission(request, account):
            raise PermissionDenied
        extra, since = request.GET.get("extra", ""), request.GET.get("since", "")
        if not (extra.isdecimal() and len(extra) <= 4):
            extra = str(secrets.randbelow(9_000) + 1_000)
        units = (account.atomic(TEST_PRICE) or 10_000) + int(extra)
        node, head, found, trouble = quick_node(account.network), None, None, ""
        if node is not None:
            try:
                head = run(node.block("latest")).number
                if since.isdecimal() and len(since) < 18:
                    came = run(
                        transfers.incoming(node, account.asset, [account.pay_to], int(since), head)
                    )
                    found = next((transfer for transfer in came if transfer.value == units), None)
            except NodeError as error:
                trouble = str(error)
        start = since if since.isdecimal() else str(head if head is not None else "")
        uri = (
            f"ethereum:{account.asset}@{networks.chain_id(account.network)}/transfer"
            f"?address={account.pay_to}&uint256={units}"
        )
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": _("A test payment"),
            "opts": self.opts,
            "account": account,
            "amount": f"{Decimal(units).scaleb(-account.decimals):f} {account.symbol}",
            "is_testnet": networks.is_testnet(account.network),
            "uri": uri,
            "qr": _qr(uri),
            "watches": node is not None,
            "found": found,
            "found_url": found and networks.transaction_url(account.network, found.transaction),
            "trouble": trouble,
            "live": f"{request.path}?extra={extra}&since={start}",
        }
        context["frame"] = (
            "paywall/admin/bare_live.html" if wants_fragment(request) else "admin/base_site.html"
        )
        return TemplateResponse(request, "paywall/admin/test_payment.html", context)


def _is_laxer(after: Account, before: Account) -> bool:
    """Whether payments would be final sooner."""
    if before.finalized:
        return not after.finalized
    return not after.finalized and after.confirmations < before.confirmations


def _qr(text: str) -> SafeString | None:
    """A QR code as SVG; None without the extra `django-paywall[desk]`."""
    try:
        import segno
    except ImportError:
        return None
    from django.utils.safestring import mark_safe

    svg = segno.make(text, error="m").svg_inline(scale=5, omitsize=True)
    return mark_safe(svg)  # noqa: S308 - segno's own drawing
