"""Finding receipts: filters, a search box, and pages by key instead of by number.

A page is found by where the one before ended, so the thousandth costs what the first does, and
nothing is ever counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from django import forms
from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from paywall import business_days, durable
from paywall.models import Account, Payment, Receipt, Resource
from paywall.models.literals import Literal
from paywall.models.payments import State
from paywall.rails import registry

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = 50
_YES_NO = [("", "–"), ("yes", _("yes")), ("no", _("no"))]


class FilterForm(forms.Form):
    """All that receipts can be filtered by, read from a URL's query."""

    q = forms.CharField(
        label=_("Search"),
        required=False,
        max_length=300,
        widget=forms.TextInput(attrs={"type": "search"}),
        help_text=_("A receipt's number or id, a transaction, a wallet, a URL, a title or a user."),
    )
    since = forms.DateField(
        label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    until = forms.DateField(
        label=_("To"), required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    state = forms.ChoiceField(
        label=_("State"), required=False, choices=[("", _("any")), *State.choices]
    )
    account = forms.ModelChoiceField(
        label=_("Account"), required=False, queryset=Account.objects.none(), empty_label=_("any")
    )
    resource = forms.CharField(
        label=_("Resource"), required=False, help_text=_("Its slug, or part of its title.")
    )
    policy = forms.ChoiceField(
        label=_("Settlement"),
        required=False,
        choices=[("", _("any")), *((p.value, p.value) for p in Resource.Policy)],
    )
    protocol = forms.CharField(label=_("Protocol"), required=False, max_length=20)
    currency = forms.CharField(label=_("Currency"), required=False, max_length=3)
    least = forms.DecimalField(label=_("Price from"), required=False, min_value=0)
    most = forms.DecimalField(label=_("Price to"), required=False, min_value=0)
    delivered = forms.ChoiceField(label=_("Delivered"), required=False, choices=_YES_NO)
    refunded = forms.ChoiceField(label=_("Refunded"), required=False, choices=_YES_NO)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        accounts: Any = self.fields["account"]
        accounts.queryset = Account.objects.using(durable.alias()).order_by("order", "pk")

    @property
    def is_used(self) -> bool:
        """Whether anything but the search box narrows the list."""
        return self.is_valid() and any(
            value not in ("", None) for name, value in self.cleaned_data.items() if name != "q"
        )


def find(cleaned: Mapping[str, Any]) -> QuerySet[Receipt]:
    """The receipts that a valid `FilterForm` asks for, the newest first."""
    receipts = Receipt.objects.using(durable.alias()).order_by("-issued_at", "-pk")
    found = Q()
    if cleaned.get("since"):
        found &= Q(issued_at__gte=business_days.bounds(cleaned["since"], cleaned["since"])[0])
    if cleaned.get("until"):
        found &= Q(issued_at__lt=business_days.bounds(cleaned["until"], cleaned["until"])[1])
    for name in ("state", "policy", "protocol"):
        if cleaned.get(name):
            found &= Q(**{f"payment__{name}": cleaned[name]})
    if cleaned.get("account"):
        found &= Q(payment__account=cleaned["account"])
    if cleaned.get("currency"):
        found &= Q(payment__currency=cleaned["currency"].upper())
    if cleaned.get("resource"):
        found &= Q(payment__resource__in=_resources(cleaned["resource"]))
    if cleaned.get("least") is not None:
        found &= Q(payment__price__gte=cleaned["least"])
    if cleaned.get("most") is not None:
        found &= Q(payment__price__lte=cleaned["most"])
    if cleaned.get("delivered"):
        found &= Q(payment__delivered_at__isnull=cleaned["delivered"] == "no")
    if cleaned.get("refunded"):
        untouched = Q(payment__refunded="0")
        found &= ~untouched if cleaned["refunded"] == "yes" else untouched
    if cleaned.get("q"):
        found &= _named(cleaned["q"].strip())
    return receipts.filter(found)


def _resources(text: str) -> list[int]:
    """By slug, or by part of the title: the first thousand."""
    resources = Resource.objects.using(durable.alias()).order_by()
    exact = list(resources.filter(slug=text).values_list("pk", flat=True))
    return exact or list(
        resources.filter(title__icontains=text).values_list("pk", flat=True)[:1000]
    )


MOST_PAYERS = 50


def _payers(head: str, tail: str) -> list[str]:
    """Wallets by how they begin and end: the first of them. As a range, which every index of text
    can walk; what databases take to be in it besides is left out."""
    rows = Payment.objects.using(durable.alias()).order_by("payer")
    found = rows.filter(
        payer__gte=head, payer__lt=f"{head}zzzz", payer__startswith=head, payer__endswith=tail
    )
    return [str(payer) for payer in found.values_list("payer", flat=True).distinct()[:MOST_PAYERS]]


_INVOICE = re.compile(r"(?P<series>\S*\d{4}\D+)(?P<serial>\d{6,})")
"""The number of an invoice: a series, which has its year, and a number in it."""


def _named(text: str) -> Q:
    """What somebody typed into the search box, by its looks."""
    what, spelled = registry.spelled(text) or ("", "")
    if what == "reference":
        # The second part is the condition of the index.
        return Q(payment__reference=spelled) & ~Q(payment__reference=Literal(""))
    if what == "payer":
        return Q(payment__payer=spelled)
    if what == "payers":
        return Q(payment__payer__in=_payers(*spelled.split("…")))
    if (invoice := _INVOICE.fullmatch(text)) and len(invoice["serial"]) < 18:
        numbered = Q(series=invoice["series"], serial=int(invoice["serial"]))
        return numbered & Q(serial__isnull=False)  # the condition of the index
    number = text.removeprefix("#").removeprefix("No.").strip()
    if number.isdecimal() and len(number) < 18:
        return Q(number=int(number))
    if text.startswith(("http://", "https://")):
        return Q(payment__url=text)
    if text.startswith("/"):
        return Q(payment__url__contains=text)
    user_model = get_user_model()
    users = user_model._default_manager.filter(
        Q(**{user_model.USERNAME_FIELD: text})
        | Q(**{f"{user_model.get_email_field_name()}__iexact": text})
    )
    if known := list(users.values_list("pk", flat=True)[:100]):
        return Q(public_id=text) | Q(payment__user__in=known)
    titled = _resources(text)
    return Q(payment__resource__in=titled) if titled else Q(public_id=text)


@dataclass(frozen=True, slots=True)
class Page:
    """Some receipts, and where the ones before and after begin."""

    receipts: list[Receipt]
    older: str | None
    """The key with which the next page is asked for; None on the last one."""
    newer: str | None
    is_first: bool


def page(receipts: QuerySet[Receipt], before: str = "", after: str = "") -> Page:
    """Those older than the key `before`, or newer than `after`; by default the newest."""
    rows = receipts.select_related("payment__account", "payment__user")
    if key := _read_key(before):
        rows = rows.filter(Q(issued_at__lt=key.at) | Q(issued_at=key.at, pk__lt=key.pk))
        # Said once more, in the words that an index range understands.
        rows = rows.filter(issued_at__lte=key.at)
        found = list(rows[: PAGE + 1])
        return _page(found[:PAGE], has_older=len(found) > PAGE, has_newer=True)
    if key := _read_key(after):
        rows = rows.filter(Q(issued_at__gt=key.at) | Q(issued_at=key.at, pk__gt=key.pk))
        rows = rows.filter(issued_at__gte=key.at).order_by("issued_at", "pk")
        found = list(rows[: PAGE + 1])
        if len(found) > PAGE:
            return _page(found[PAGE - 1 :: -1], has_older=True, has_newer=True)
        return page(receipts)
    found = list(rows[: PAGE + 1])
    return _page(found[:PAGE], has_older=len(found) > PAGE, has_newer=False)


def _page(found: list[Receipt], *, has_older: bool, has_newer: bool) -> Page:
    return Page(
        found,
        older=_key(found[-1]) if found and has_older else None,
        newer=_key(found[0]) if found and has_newer else None,
        is_first=not has_newer,
    )


def _key(receipt: Receipt) -> str:
    return f"{receipt.issued_at.isoformat()}_{receipt.pk}"


class _Key(NamedTuple):
    """Where a page begins or ends."""

    at: datetime
    pk: int


def _read_key(text: str) -> _Key | None:
    at, _sep, pk = text.rpartition("_")
    try:
        moment = datetime.fromisoformat(at)
        good = moment.tzinfo is not None and pk.isdecimal() and len(pk) < 19
        return _Key(moment.astimezone(UTC), int(pk)) if good else None
    except (ValueError, OverflowError):
        return None
