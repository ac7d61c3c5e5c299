"""Resources as CSV, in and out, by django-import-export: with a dry run, and errors by row.

Installed with `django-paywall[desk]` and "import_export" in INSTALLED_APPS.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from import_export import fields, resources
from import_export.admin import ImportExportModelAdmin
from import_export.formats.base_formats import CSV

from paywall import conf
from paywall.catalog import pricing
from paywall.dashboard.spreadsheets import as_text
from paywall.models import Price, Resource
from paywall.money import money

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest


class PricedResource(resources.ModelResource):  # type: ignore[misc]
    """A row: the resource by its slug, and the price that it shall have from now on."""

    price = fields.Field(column_name="price")
    currency = fields.Field(column_name="currency")

    class Meta:
        model = Resource
        import_id_fields = ["slug"]
        fields = [
            *("slug", "title", "description", "mime_type", "policy", "access", "pass_seconds"),
            *("active", "path", "methods", "price", "currency"),
        ]
        export_order = fields
        skip_unchanged = False
        clean_model_instances = True
        use_transactions = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._prices: dict[int, Price] | None = None
        self.user: Any = None

    def before_import(self, dataset: Any, **kwargs: Any) -> None:
        self.user = kwargs.get("user")

    def before_import_row(self, row: dict[str, Any], **kwargs: Any) -> None:
        """Check what is no field of the resource."""
        if str(row.get("price") or "").strip():
            Price(amount=_amount(row), currency=_currency(row)).clean()
        for name in ("path", "methods", "description"):
            if name in row and row[name] is None:
                row[name] = ""

    def export_field(self, *args: Any, **kwargs: Any) -> Any:
        value = super().export_field(*args, **kwargs)
        return as_text(value) if isinstance(value, str) else value

    def after_save_instance(self, instance: Resource, row: Any, **kwargs: Any) -> None:
        """Supersede the price, where the row has another."""
        if not str(row.get("price") or "").strip():
            return
        amount, currency = _amount(row), _currency(row)
        current = pricing.in_force(instance, currency, timezone.now())
        if current is None or current.amount != amount:
            pricing.set_price(instance, amount, currency, by=self.user)

    def before_export(self, queryset: QuerySet[Resource], **kwargs: Any) -> None:
        prices = Price.objects.filter(audience=None).in_force(timezone.now())
        self._prices = {price.resource_id: price for price in prices.order_by("-pk")}

    def dehydrate_price(self, resource: Resource) -> str:
        price = self._price(resource)
        return money(price.amount) if price else ""

    def dehydrate_currency(self, resource: Resource) -> str:
        price = self._price(resource)
        return price.currency if price else ""

    def _price(self, resource: Resource) -> Price | None:
        if self._prices is not None:
            return self._prices.get(resource.pk)
        return resource.current_price() if resource.pk else None


class PlainCSV(CSV):  # type: ignore[misc]
    """CSV as spreadsheet programs write it: in UTF-8 with or without a mark, or UTF-16, or the
    Windows-1252 of older ones; with commas or semicolons."""

    CONTENT_TYPE = "text/csv; charset=utf-8"

    def get_read_mode(self) -> str:
        return "rb"

    def is_binary(self) -> bool:
        return True

    def create_dataset(self, in_stream: Any, **kwargs: Any) -> Any:
        text = read_text(in_stream) if isinstance(in_stream, bytes) else in_stream
        first = text.lstrip().partition("\n")[0]
        if ";" in first and "," not in first:
            kwargs["delimiter"] = ";"
        dataset = super().create_dataset(text, **kwargs)
        if "slug" not in (dataset.headers or ()):
            raise ValueError(
                _("The first line names the columns, by commas or semicolons; one is “slug”.")
            )
        return dataset

    def export_data(self, dataset: Any, **kwargs: Any) -> bytes:
        return b"\xef\xbb\xbf" + str(super().export_data(dataset, **kwargs)).encode()


def read_text(content: bytes) -> str:
    """A file's text by its byte-order mark; or UTF-8, or else Windows-1252. Raises `ValueError`."""
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if content.startswith(mark):
            return content.decode(encoding)
    for encoding in ("utf-8", "cp1252"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ValueError(_("The file is no text that can be read: save it as CSV in UTF-8."))


def _amount(row: Any) -> Decimal:
    text = str(row["price"]).strip()
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or amount <= 0:
        raise ValidationError({"price": _("“%s” is not an amount above zero.") % text})
    return amount


def _currency(row: Any) -> str:
    return str(row.get("currency") or conf.get().currency).strip().upper()


class ModelAdminBase(ImportExportModelAdmin):  # type: ignore[misc]
    """The admin of resources, with buttons for import and export."""

    resource_classes = [PricedResource]
    formats = [PlainCSV]
    skip_export_form = True  # there is one format, and the form's page is full of inline scripts

    def has_import_permission(self, request: HttpRequest) -> bool:
        may_price = request.user.has_perm("paywall.add_price")
        may_change = self.has_add_permission(request) and self.has_change_permission(request)
        return bool(may_price and may_change)

    def has_export_permission(self, request: HttpRequest) -> bool:
        return bool(self.has_view_permission(request))
