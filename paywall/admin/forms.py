"""What is typed at the desk about prices."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from paywall import conf
from paywall.models import Audience, Bots, Meter, Price, Resource
from paywall.models.validators import validate_currency
from paywall.money import MOST, money
from paywall.visitors import recognition

if TYPE_CHECKING:
    from collections.abc import Iterator


class CurrencyField(forms.CharField):
    """Three letters, however they are typed."""

    def __init__(self) -> None:
        super().__init__(label=_("Currency"), max_length=3, validators=[validate_currency])

    def to_python(self, value: Any) -> str:
        return (super().to_python(value) or "").upper()


class InterfaceField(forms.JSONField):
    """JSON, and nothing where there is none."""

    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else super().prepare_value(value)


class AmountField(forms.DecimalField):
    """An amount of a currency, as fine as a price can be."""

    def __init__(self, **kwargs: Any) -> None:
        least = Decimal("0.00000001")
        super().__init__(max_digits=20, decimal_places=8, min_value=least, **kwargs)
        seller = conf.get().seller()
        if seller is not None and not seller.prices_with_vat and not self.help_text:
            rate = f"{seller.vat_rate.normalize():f}"
            self.help_text = _("Before VAT: buyers pay %(rate)s %% more.") % {"rate": rate}


class MomentField(forms.DateTimeField):
    """A day and a time, which may be left empty."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.DateTimeInput(attrs={"type": "datetime-local"})
        super().__init__(required=False, widget=widget, **kwargs)


UNITS = ((86_400, _("days")), (3_600, _("hours")), (60, _("minutes")), (1, _("seconds")))
"""Of time, the longest first, in seconds."""


LONGEST = 2_147_483_647
"""Seconds that a column holds: some sixty years."""


class SecondsWidget(forms.MultiWidget):
    """A number and its unit. A bare number under the field's own name is seconds."""

    def __init__(self) -> None:
        named = {"min": 1, "class": "vIntegerField", "aria-label": _("How long it is open")}
        unit = forms.Select(choices=UNITS, attrs={"aria-label": _("Unit of time")})
        super().__init__([forms.NumberInput(attrs=named), unit])

    def decompress(self, value: int | None) -> list[int | None]:
        if not value:
            return [None, UNITS[0][0]]
        unit = next(unit for unit, _name in UNITS if value % unit == 0)
        return [value // unit, unit]

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        if name in data:
            return [data[name], "1"]
        return super().value_from_datadict(data, files, name)


class SecondsField(forms.MultiValueField):
    """Seconds, typed in whatever unit."""

    widget = SecondsWidget

    def __init__(self) -> None:
        fields = (
            forms.IntegerField(min_value=1, required=False),
            forms.TypedChoiceField(choices=UNITS, coerce=int),
        )
        super().__init__(
            fields,
            label=_("Open for"),
            help_text=_("For a pass for a time."),
            required=False,
            require_all_fields=False,
            validators=[MaxValueValidator(LONGEST)],
        )

    def compress(self, data_list: list[Any]) -> int | None:
        number = data_list[0] if data_list else None
        return number * data_list[1] if number and data_list[1] else None


class WhenForm(forms.Form):
    """From when on it holds."""

    valid_from = MomentField(label=_("From"), help_text=_("Empty: from now on."))

    def clean_valid_from(self) -> datetime | None:
        at: datetime | None = self.cleaned_data["valid_from"]
        if at is not None and at < timezone.now() - timedelta(minutes=1):
            raise ValidationError(_("That is past: a price holds from now on, or from later on."))
        return at


def _check_payable(form: forms.BaseForm, cleaned: dict[str, Any], name: str | None) -> None:
    """What no account takes is an error of that field, or of the whole form."""
    if cleaned.get("amount") and cleaned.get("currency"):
        try:
            Price(amount=cleaned["amount"], currency=cleaned["currency"]).clean()
        except ValidationError as error:
            form.add_error(name, ValidationError(error.messages))


class PriceForm(WhenForm):
    """A price in place of another."""

    amount = AmountField(label=_("Amount"), max_value=Decimal(MOST))
    currency = CurrencyField()
    field_order = ["amount", "currency", "valid_from"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        _check_payable(self, cleaned, None)
        return cleaned


class OfferForm(PriceForm):
    """What somebody pays for a resource, or has free of it: one form for price, time and audience.

    Whom it is for need not be there: signed-in readers, a group's members and a coupon are made as
    audiences when they are first named.
    """

    PRICE, FREE = "price", "free"
    EVERYONE, SIGNED_IN, COUPON, GROUP, KNOWN = "", "signed_in", "coupon", "group", "audience"
    BOTS = "bots"
    MUCH = 10
    """How many times more or less than now is asked about once more."""

    what = forms.ChoiceField(
        label=_("What"),
        choices=[(PRICE, _("A price")), (FREE, _("So many free"))],
        initial=PRICE,
        required=False,
        widget=forms.RadioSelect,
    )
    who = forms.ChoiceField(label=_("For whom"), required=False)
    free_uses = forms.IntegerField(label=_("How many"), required=False, min_value=1, initial=3)
    free_per = forms.ChoiceField(
        label=_("For each"),
        choices=Price.FreePer.choices,
        required=False,
        initial=Price.FreePer.ADDRESS,
    )
    free_every = forms.ChoiceField(
        label=_("Counted anew"),
        choices=Price.FreeEvery.choices,
        required=False,
        initial=Price.FreeEvery.DAY,
    )
    free_balance = AmountField(
        label=_("Least balance"),
        required=False,
        help_text=_("What a wallet must have for it: anybody makes any number of empty ones."),
    )
    coupon = forms.CharField(
        label=_("Coupon"),
        required=False,
        max_length=64,
        help_text=_("Brought as ?coupon=… or in the header Paywall-Coupon."),
    )
    coupon_ends = MomentField(label=_("Good until"), help_text=_("Empty: until you end it."))
    coupon_uses = forms.IntegerField(
        label=_("Good for so many payments"),
        required=False,
        min_value=1,
        help_text=_("Of all buyers together; empty: any number."),
    )
    meant = forms.CharField(required=False, widget=forms.HiddenInput)
    """The amount that was asked about already."""
    field_order = [
        *("what", "who", "coupon", "coupon_ends", "coupon_uses"),
        *("amount", "currency", "free_uses", "free_per", "free_balance", "free_every"),
        *("valid_from", "meant"),
    ]

    def __init__(self, *args: Any, current: Price | None, may_add: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.current = current
        self.fields["who"].choices = list(self._choices(may_add))  # type: ignore[attr-defined]
        self.fields["amount"].required = False

    def _choices(self, may_add: bool) -> Iterator[tuple[str, Any]]:
        """Audiences that are there, and those that are made by being named."""
        now = timezone.now()
        there = Audience.objects.filter(active=True).exclude(kind=Audience.Kind.EVERYONE)
        known = list(there.exclude(ends_at__lte=now))
        yield self.EVERYONE, _("everyone")
        if may_add and not any(a.kind == Audience.Kind.SIGNED_IN for a in known):
            yield self.SIGNED_IN, _("signed-in readers")
        for audience in known:
            yield f"{self.KNOWN}:{audience.pk}", audience.name
        if may_add:
            named = [audience.group_id for audience in known if audience.group_id is not None]
            for group in Group.objects.exclude(pk__in=named).order_by("name"):
                yield f"{self.GROUP}:{group.pk}", _("members of “%s”") % group.name
            yield from self._bots({audience.bots for audience in known})
            yield self.COUPON, _("who brings a coupon…")

    def _bots(self, named: set[str]) -> Iterator[tuple[str, Any]]:
        """Kinds of bots, where some can prove to be it."""
        if recognition.can_be_proven():
            for bots in (Bots.SEARCH, Bots.TRAIN, Bots.USER):
                if bots not in named:
                    yield f"{self.BOTS}:{bots}", _("%s that prove to be it") % bots.label

    @property
    def is_free(self) -> bool:
        return self.cleaned_data.get("what") == self.FREE

    def clean(self) -> dict[str, Any]:
        if self.is_free:
            self.cleaned_data["amount"] = None
        cleaned = super().clean()
        if self.is_free:
            if not cleaned.get("free_uses"):
                self.add_error("free_uses", _("How many are free?"))
            cleaned["free_per"] = cleaned.get("free_per") or Price.FreePer.ADDRESS
            cleaned["free_every"] = cleaned.get("free_every") or Price.FreeEvery.DAY
            if cleaned["free_per"] != Price.FreePer.WALLET:
                cleaned["free_balance"] = None
        elif cleaned.get("amount") is None and "amount" not in self.errors:
            self.add_error("amount", _("What shall it cost?"))
        if cleaned.get("who") == self.COUPON:
            self._check_coupon(cleaned)
        if not self.errors and not self.is_free:
            self._check_size(cleaned)
        return cleaned

    def _check_coupon(self, cleaned: dict[str, Any]) -> None:
        word = cleaned["coupon"] = str(cleaned.get("coupon", "")).strip()
        if not word:
            self.add_error("coupon", _("Which word do buyers bring?"))
        elif Audience.objects.filter(coupon=word).exists():
            self.add_error("coupon", _("There is such a coupon already: choose it above."))
        ends = cleaned.get("coupon_ends")
        if ends is not None and ends <= timezone.now():
            self.add_error("coupon_ends", _("That is past."))

    def _check_size(self, cleaned: dict[str, Any]) -> None:
        """A slip of a zero or three is asked about once."""
        now, amount = self.current, cleaned["amount"]
        if now is None or now.currency != cleaned["currency"] or cleaned.get("who"):
            return
        times = max(amount / now.amount, now.amount / amount)
        if times < self.MUCH or cleaned.get("meant") == f"{amount.normalize():f}":
            return
        self.data = {**dict(self.data.items()), "meant": f"{amount.normalize():f}"}
        told = (
            _("It costs %(now)s: this is %(times)s times as much. If you mean it, save once more.")
            if amount > now.amount
            else _("It costs %(now)s: this is a %(times)sth of it. If you mean it, save once more.")
        )
        self.add_error("amount", told % {"now": now, "times": f"{int(times):,}"})


class RaiseForm(WhenForm):
    """By how much prices rise."""

    percent = forms.DecimalField(
        label=_("Percent"),
        max_digits=8,
        decimal_places=4,
        min_value=Decimal(-99),
        help_text=_("10 raises by a tenth, -10 lowers by one."),
    )
    places = forms.IntegerField(
        label=_("Decimals"), initial=2, min_value=0, max_value=8, help_text=_("To round to.")
    )
    field_order = ["percent", "places", "valid_from"]


class PricedForm(forms.ModelForm):  # type: ignore[type-arg]
    """How one object is sold: its resource, with the price beside it."""

    amount = AmountField(
        label=_("Price"),
        max_value=Decimal(MOST),
        help_text=_("Another amount takes the place of this one from now on."),
    )
    currency = CurrencyField()
    pass_seconds = SecondsField()

    class Meta:
        model = Resource
        fields = ["description", "policy", "access", "pass_seconds", "active"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.price = self.instance.current_price() if self.instance.pk else None
        self.initial["currency"] = self.price.currency if self.price else conf.get().currency
        if self.price is not None:
            self.initial["amount"] = money(self.price.amount)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        _check_payable(self, cleaned, "amount")
        return cleaned

    @property
    def is_another_price(self) -> bool:
        new = self.cleaned_data.get("amount"), self.cleaned_data.get("currency")
        return self.price is None or new != (self.price.amount, self.price.currency)


class MeterForm(forms.Form):
    """Under which metered month something is."""

    meter = forms.ModelChoiceField(
        Meter.objects.all(),
        label=_("Metered month"),
        required=False,
        empty_label=_("None: everybody pays"),
    )
