"""Changing prices: in a resource's form, one in the list, many after a look at what will come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from paywall import conf
from paywall.catalog import pricing
from paywall.models import Audience, Bots, Price, Resource
from paywall.money import money

from .base import action_page
from .forms import OfferForm, PriceForm, RaiseForm

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    InlineBase = admin.TabularInline[Price, Resource]
    MixinBase = admin.ModelAdmin[Resource]
else:
    InlineBase = admin.TabularInline
    MixinBase = object


MOST_PRICES = 50
"""So many of a resource's are listed on its page, the newest first."""


class PriceInline(InlineBase):
    """The first price of a new resource; later ones go through the form for prices."""

    model = Price
    extra = 1
    max_num = 1
    fields = ["amount", "currency"]
    can_delete = False
    verbose_name_plural = _("its price, for everyone")


class PriceChanges(MixinBase):
    """What the admin of resources does about prices."""

    @admin.display(description=_("prices"))
    def all_prices(self, resource: Resource) -> SafeString:
        """What it costs, did and will, and where that is changed."""
        current = set(Price.objects.filter(resource=resource).in_force(timezone.now()))
        rows = Price.objects.filter(resource=resource).select_related("audience")
        told = [
            (
                price,
                price.audience or gettext("everyone"),
                date_format(timezone.localtime(price.valid_from), "DATETIME_FORMAT"),
                _standing(price, price in current),
            )
            for price in rows.order_by("-valid_from", "-pk")[:MOST_PRICES]
        ]
        headings = (gettext("Price"), gettext("For whom"), gettext("From"), gettext("In force"))
        cells = format_html_join("", "<th scope=col>{}</th>", ((text,) for text in headings))
        body = format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", told)
        link: Any = (
            ""
            if not getattr(resource, "may_price", True)
            else format_html(
                '<a class="paywall-price" href="{}" data-dialog>{}</a>',
                reverse("admin:paywall_resource_price", args=[resource.pk]),
                gettext("Change what it costs"),
            )
        )
        if not told:
            return format_html("{} {}", gettext("It is not for sale yet."), link)
        return format_html(
            '<div class="paywall-scroll"><table><tr>{}</tr>{}</table></div>{}', cells, body, link
        )

    def has_price_permission(self, request: HttpRequest) -> bool:
        """Who may say what things cost: to change a resource is not enough."""
        return request.user.has_perm("paywall.add_price")

    def may_price(self, request: HttpRequest) -> bool:
        """Whether the form for it opens."""
        return self.has_change_permission(request) and self.has_price_permission(request)

    def price_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """One price, changed from the list: a page, or its form for the list's dialog."""
        resource = get_object_or_404(Resource, pk=pk)
        if not self.may_price(request):
            raise PermissionDenied
        current = resource.current_price()
        back = _back(request)
        may_add = request.user.has_perm("paywall.add_audience")
        if request.method == "POST":
            form = OfferForm(request.POST, current=current, may_add=may_add)
            if form.is_valid():
                try:
                    price = _offered(resource, form.cleaned_data, by=request.user)
                except ValidationError as error:
                    form.add_error(None, ValidationError(error.messages))
            if form.is_valid():
                messages.success(request, _told(resource, price))
                former = price.supersedes
                if former is not None and bool(former.free_uses) != bool(price.free_uses):
                    # An audience has a price or a quota, one at a time.
                    text = _("For %(who)s this takes the place of: %(price)s.")
                    messages.warning(request, text % {"who": price.audience, "price": former})
                return HttpResponseRedirect(back)
        else:
            initial: dict[str, Any] = {"currency": conf.get().currency}
            if current is not None:
                initial = {"amount": money(current.amount), "currency": current.currency}
            form = OfferForm(initial=initial, current=current, may_add=may_add)
        is_fragment = request.headers.get("X-Requested-With") == "fetch"
        context = {
            **self.admin_site.each_context(request),
            "title": _("Price of “%s”") % resource.title,
            "opts": self.opts,
            "form": form,
            "resource": resource,
            "current": current,
            "others": Price.objects.filter(resource=resource)
            .exclude(audience=None)
            .in_force(timezone.now())
            .select_related("audience")
            .order_by("audience__name"),
            "coming": Price.objects.filter(resource=resource, valid_from__gt=timezone.now())
            .select_related("audience")
            .order_by("valid_from"),
            "is_dialog": is_fragment,
            "zone": timezone.get_current_timezone_name(),
            "action": request.path,
            "back": back,
            "media": self.media + form.media,
            "frame": "paywall/admin/bare.html" if is_fragment else "admin/base_site.html",
        }
        return TemplateResponse(request, "paywall/admin/price.html", context)

    @admin.action(description=_("Set the price…"), permissions=["price"])
    def set_price(self, request: HttpRequest, queryset: QuerySet[Resource]) -> Any:
        return self._change_prices(
            request,
            queryset,
            PriceForm,
            lambda data, chosen: pricing.set_to(chosen, data["amount"], data["currency"]),
        )

    @admin.action(description=_("Raise or lower prices by percent…"), permissions=["price"])
    def raise_price(self, request: HttpRequest, queryset: QuerySet[Resource]) -> Any:
        return self._change_prices(
            request,
            queryset,
            RaiseForm,
            lambda data, chosen: pricing.raised(chosen, data["percent"], data["places"]),
        )

    def _change_prices(
        self,
        request: HttpRequest,
        queryset: QuerySet[Resource],
        form_class: type[PriceForm | RaiseForm],
        changes_of: Callable[[dict[str, Any], list[Resource]], list[pricing.Change]],
    ) -> HttpResponse:
        """A page that asks, shows what would come of it, and does it when told to."""
        chosen = list(queryset.order_by("title"))
        step = request.POST.get("step", "")
        form = form_class(request.POST if step else None)
        changes: list[pricing.Change] = []
        if step and form.is_valid():
            changes = changes_of(form.cleaned_data, chosen)
            count = str(len(chosen))
            if step == "apply" and request.POST.get("seen", count) != count:
                form.add_error(
                    None, _("There are others than before among these: look at them once more.")
                )
            elif step == "apply":
                try:
                    number = pricing.apply(
                        changes, by=request.user, valid_from=form.cleaned_data["valid_from"]
                    )
                except ValidationError as error:
                    form.add_error(None, ValidationError(error.messages))
                else:
                    text = ngettext("%d price changes.", "%d prices change.", number)
                    messages.success(request, text % number)
                    return HttpResponseRedirect(request.get_full_path())
        context = {
            **action_page(self, request, form),
            "title": _("Prices"),
            "chosen": chosen,
            "changes": changes,
        }
        return TemplateResponse(request, "paywall/admin/prices.html", context)


def _standing(price: Price, is_current: bool) -> str:
    if price.valid_from > timezone.now():
        return gettext("to come")
    return gettext("now") if is_current else gettext("replaced")


@transaction.atomic
def _offered(resource: Resource, data: dict[str, Any], *, by: Any) -> Price:
    """The price, or what is free, that a form says; with its audience. Raises `ValidationError`."""
    audience = _audience(data, by)
    how = {"by": by, "valid_from": data["valid_from"], "audience": audience}
    if data["what"] == OfferForm.FREE:
        quota = {name: data[name] for name in ("free_per", "free_every", "free_balance")}
        return pricing.set_free(resource, data["free_uses"], data["currency"], **quota, **how)
    return pricing.set_price(resource, data["amount"], data["currency"], **how)


def _audience(data: dict[str, Any], by: Any) -> Audience | None:
    """Whom a form says; made, if it is not there."""
    kind, _, key = data["who"].partition(":")
    match kind:
        case OfferForm.KNOWN:
            return Audience.objects.get(pk=key)
        case OfferForm.SIGNED_IN:
            return pricing.named(Audience.Kind.SIGNED_IN, gettext("Signed-in readers"), by=by)
        case OfferForm.GROUP:
            group = Group.objects.get(pk=key)
            name = gettext("Members of %s") % group.name
            return pricing.named(Audience.Kind.GROUP, name, by=by, group=group)
        case OfferForm.BOTS:
            return pricing.named(Audience.Kind.BOTS, str(Bots(key).label), by=by, bots=key)
        case OfferForm.COUPON:
            ends = {"ends_at": data["coupon_ends"], "coupon_uses": data["coupon_uses"]}
            name = gettext("Coupon %s") % data["coupon"]
            return pricing.named(Audience.Kind.COUPON, name, by=by, coupon=data["coupon"], **ends)
    return None


def _told(resource: Resource, price: Price) -> str:
    """What was changed, for whom and from when."""
    said: dict[str, Any] = {"title": resource.title, "price": price, "who": price.audience}
    if price.valid_from > timezone.now():
        at = timezone.localtime(price.valid_from)
        said["at"] = f"{date_format(at, 'l')}, {date_format(at, 'DATETIME_FORMAT')}"
        said["at"] += f" {timezone.get_current_timezone_name()}"
        if price.audience:
            return gettext("“%(title)s”, for %(who)s: %(price)s, from %(at)s.") % said
        return gettext("“%(title)s” will cost %(price)s, from %(at)s.") % said
    if price.audience:
        return gettext("“%(title)s”, for %(who)s: %(price)s, from now on.") % said
    return gettext("“%(title)s” costs %(price)s now.") % said


def _back(request: HttpRequest) -> str:
    """The list as it was, with its filters and its page."""
    fallback = reverse("admin:paywall_resource_changelist")
    before = request.POST.get("back") or request.headers.get("Referer", "")
    ours = url_has_allowed_host_and_scheme(before, {request.get_host()}, request.is_secure())
    return before if ours and urlsplit(before).path == fallback else fallback
