"""How the desk's pages write money, times and links."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import template
from django.utils.formats import date_format, number_format
from django.utils.html import format_html
from django.utils.timezone import localtime
from django.utils.translation import gettext, ngettext

from paywall import conf
from paywall.money import shortened
from paywall.rails import registry

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

    from paywall.models import Payment

register = template.Library()


@register.filter
def money(amount: Decimal) -> str:
    """Two decimals at least, more where they say something: at most six."""
    rounded = Decimal(amount).quantize(Decimal("0.01" if abs(amount) >= 100 else "0.000001"))
    places = max(2, -int(rounded.normalize().as_tuple().exponent))
    return number_format(rounded, places, force_grouping=True)


@register.filter
def whole(number: Any) -> str:
    return number_format(int(number), 0, force_grouping=True)


@register.filter
def coins(amount: Decimal) -> str:
    """An amount of a chain's coin."""
    return number_format(amount.quantize(Decimal("0.000001")).normalize(), use_l10n=True)


@register.filter
def owner_time(at: datetime) -> str:
    """In the owner's time zone."""
    return date_format(localtime(at, conf.get().owners_zone()), "SHORT_DATETIME_FORMAT")


@register.filter
def owner_moment(at: datetime) -> str:
    """The same to the second, with the zone."""
    local = localtime(at, conf.get().owners_zone())
    return f"{date_format(local, 'SHORT_DATE_FORMAT')} {local:%H:%M:%S} {local:%Z}"


@register.filter
def ago(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    if seconds < 120:
        return ngettext("%d second", "%d seconds", seconds) % seconds
    if seconds < 7200:
        return gettext("%d minutes") % (seconds // 60)
    return gettext("%d hours") % (seconds // 3600)


@register.filter
def short(text: str | None) -> str:
    return shortened(text or "–")


@register.filter
def network(name: str) -> str:
    return registry.network(name).title


@register.filter
def is_testnet(name: str) -> bool:
    return registry.network(name).testnet


@register.simple_tag
def change(figure: Any) -> str | SafeString:
    """By how much a figure grew since the period before, in words for a screen reader too.
    Nothing where there was nothing before."""
    percent = figure.percent
    if percent is None:
        return ""
    text = gettext("%(percent)s %% on the period before") % {
        "percent": f"{'+' if percent > 0 else ''}{number_format(percent)}"
    }
    way = "up" if percent > 0 else "down" if percent < 0 else "same"
    return format_html('<small class="desk-change desk-{}">{}</small>', way, text)


@register.simple_tag
def explorer(url: str | None, text: Any) -> str | SafeString:
    """What a block explorer shows, linked to it where one is known."""
    if text in ("", None):
        return "–"
    if not url:
        return str(text)
    return format_html('<a href="{}" rel="noreferrer">{}</a>', url, text)


@register.simple_tag
def transaction(payment: Payment) -> str | SafeString:
    if not payment.reference:
        return "–"
    url = registry.reference_url(payment.rail, payment.network, payment.reference)
    return explorer(url, shortened(payment.reference))
