"""Terms for machines, with what is told of them; license clients, and their tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Q
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from paywall import staff_log
from paywall.discovery import documents, listing, rsl
from paywall.ledger import licenses
from paywall.models import LicenseClient, LicenseToken, UsageTerms
from paywall.models.licenses import USAGES

from .base import OnlyUnused, ReadOnly

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    UsageTermsAdminBase = admin.ModelAdmin[UsageTerms]
    LicenseClientAdminBase = admin.ModelAdmin[LicenseClient]
    LicenseTokenAdminBase = admin.ModelAdmin[LicenseToken]
    UsageTermsFormBase = forms.ModelForm[UsageTerms]
else:
    UsageTermsAdminBase = LicenseClientAdminBase = LicenseTokenAdminBase = admin.ModelAdmin
    UsageTermsFormBase = forms.ModelForm


SHOWN = 40
"""Lines of a document."""


class Usages(forms.MultipleChoiceField):
    """Words with blanks between them, as boxes to tick."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs = {**kwargs, "choices": USAGES, "widget": forms.CheckboxSelectMultiple}
        super().__init__(required=False, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return value.split() if isinstance(value, str) else value

    def clean(self, value: Any) -> str:
        return " ".join(super().clean(value))


class UsageTermsForm(UsageTermsFormBase):
    permits = Usages(
        label=_("May be used for"),
        help_text=_("If something is ticked, all else is not permitted (RSL)."),
    )
    prohibits = Usages(label=_("Must not be used for"))
    agreement_url = forms.URLField(
        label=_("Address of the agreement"), required=False, assume_scheme="https"
    )
    terms_url = forms.URLField(
        label=_("Terms for people to read"), required=False, assume_scheme="https"
    )

    class Meta:
        model = UsageTerms
        fields = "__all__"


@admin.register(UsageTerms)
class UsageTermsAdmin(UsageTermsAdminBase):
    form = UsageTermsForm
    list_display = ["__str__", "permits", "prohibits", "compensation", "by_token", "active"]
    list_filter = ["compensation", "active"]
    list_select_related = ["resource"]
    search_fields = ["resource__title", "resource__slug"]
    autocomplete_fields = ["resource"]
    fields = [
        *("resource", "permits", "prohibits", "compensation", "agreement_url", "terms_url"),
        *("by_token", "train_ai", "search", "active", "document", "lines", "headers"),
    ]
    readonly_fields = ["document", "lines", "headers"]

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        # For the previews, which are given no request.
        self.absolute = request.build_absolute_uri
        return super().get_form(request, obj, change, **kwargs)

    def save_model(self, request: HttpRequest, obj: UsageTerms, form: Any, change: bool) -> None:
        before = UsageTerms.objects.filter(pk=obj.pk).first() if change else None
        super().save_model(request, obj, form, change)
        names = ("permits", "prohibits", "compensation", "agreement_url", "terms_url", "by_token")
        preferences = ("train_ai", "search", "active")
        staff_log.compared(request.user, before, obj, (*names, *preferences))

    @admin.display(description=_("license.xml, as it is now"))
    def document(self, terms: UsageTerms) -> str | SafeString:
        if terms.pk is None or not listing.terms():
            return gettext("Save, to see what is told.")
        text = rsl.document(self.absolute).splitlines()
        more = ["..."] if len(text) > SHOWN else []
        return format_html("<pre>{}</pre>", "\n".join(text[:SHOWN] + more))

    @admin.display(description=_("lines of robots.txt"))
    def lines(self, terms: UsageTerms) -> str | SafeString:
        return format_html("<pre>{}</pre>", documents.robots(self.absolute))

    @admin.display(description=_("headers"))
    def headers(self, terms: UsageTerms) -> str | SafeString:
        told = rsl.headers(terms)
        return format_html("<pre>{}</pre>", "\n".join(f"{name}: {told[name]}" for name in told))


@admin.register(LicenseClient)
class LicenseClientAdmin(OnlyUnused, LicenseClientAdminBase):
    list_display = ["name", "client_id", "active", "created_at"]
    list_filter = ["active"]
    search_fields = ["name", "=client_id"]
    autocomplete_fields = ["agreed"]
    fields = ["name", "client_id", "agreed", "active", "created_at"]
    readonly_fields = ["client_id", "created_at"]
    actions = ["renew_secret"]

    def save_model(self, request: HttpRequest, obj: LicenseClient, form: Any, change: bool) -> None:
        before = LicenseClient.objects.filter(pk=obj.pk).first() if change else None
        secret = "" if change else licenses.make_secret(obj)
        super().save_model(request, obj, form, change)
        staff_log.compared(request.user, before, obj, ("name", "active"))
        if secret:
            self._tell(request, obj, secret)

    @admin.action(description=_("Make a new secret"), permissions=["change"])
    def renew_secret(self, request: HttpRequest, queryset: QuerySet[LicenseClient]) -> None:
        for client in queryset:
            self._tell(request, client, licenses.new_secret(client))
            staff_log.write(request.user, client, "new secret")

    def _tell(self, request: HttpRequest, client: LicenseClient, secret: str) -> None:
        text = _("%(name)s: client id %(id)s, secret %(secret)s. The secret is shown this once.")
        told = {"name": client, "id": client.client_id, "secret": secret}
        messages.success(request, text % told)


@admin.register(LicenseToken)
class LicenseTokenAdmin(ReadOnly, LicenseTokenAdminBase):
    list_display = ["client", "resource", "payment", "uses_left", "expires_at", "revoked_at"]
    list_filter = ["created_at", "revoked_at"]
    list_select_related = ["client", "resource", "payment"]
    search_fields = ["client__name", "resource__slug"]
    show_full_result_count = False
    actions = ["revoke"]

    @admin.action(description=_("Revoke"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[LicenseToken]) -> None:
        number = licenses.revoke(Q(pk__in=list(queryset.values_list("pk", flat=True))))
        told = ngettext("%d token was revoked.", "%d tokens were revoked.", number) % number
        messages.success(request, told)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("paywall.change_licensetoken")
