"""What is typed at the desk about prices."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from paywall import conf
from paywall.models import Meter, Price, Resource
from paywall.models.validators import validate_currency
from paywall.money import MOST


class CurrencyField(forms.CharField):
    """Three letters, however they are typed."""

    def __init__(self) -> None:
        super().__init__(label=_("Currency"), max_length=3, validators=[validate_currency])

    def to_python(self, value: Any) -> str:
        return (super().to_python(value) or "").upper()


class WhenForm(forms.Form):
    """From when on it holds."""

    valid_from = forms.DateTimeField(
        label=_("From"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        help_text=_("Empty: from now on."),
    )

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

    amount = forms.DecimalField(
        label=_("Amount"),
        max_digits=20,
        decimal_places=8,
        min_value=Decimal("0.00000001"),
        max_value=Decimal(MOST),
    )
    currency = CurrencyField()
    field_order = ["amount", "currency", "valid_from"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        _check_payable(self, cleaned, None)
        return cleaned


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

    amount = forms.DecimalField(
        label=_("Price"),
        max_digits=20,
        decimal_places=8,
        min_value=Decimal("0.00000001"),
        max_value=Decimal(MOST),
        help_text=_("Another amount supersedes the price from now on."),
    )
    currency = CurrencyField()

    class Meta:
        model = Resource
        fields = ["description", "policy", "access", "pass_seconds", "active"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.price = self.instance.current_price() if self.instance.pk else None
        self.initial["currency"] = self.price.currency if self.price else conf.get().currency
        if self.price is not None:
            self.initial["amount"] = self.price.amount.normalize()

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
