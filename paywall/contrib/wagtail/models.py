"""`PaidPageMixin`: a page with a price.

class ArticlePage(PaidPageMixin, Page):
    body = StreamField([("text", RichTextBlock()), ("paywall", PaywallBreakBlock())])
    paywall_body = "body"
    content_panels = Page.content_panels + [FieldPanel("body"), *PaidPageMixin.paywall_panels]
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _
from wagtail.admin.panels import FieldPanel, FieldRowPanel, MultiFieldPanel

from paywall.catalog import offers
from paywall.decorators import door_to
from paywall.entry import pages
from paywall.exceptions import NotForSale
from paywall.models import PricedMixin, Resource
from paywall.models.validators import validate_currency

from .blocks import PaywallBreakBlock

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    PageBase = Any
else:
    PageBase = object

AS_BUYER, AS_PAYER = "paywall-buyer", "paywall-payer"


class PaidPageMixin(PricedMixin):
    """Stands to the left of `Page`. With a price the page is sold from its publication on; what its
    editors say of price and access takes effect when they publish."""

    paywall_price = models.DecimalField(
        _("price"),
        max_digits=20,
        decimal_places=8,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal("0.00000001"))],
        help_text=_("Empty: free for everybody."),
    )
    paywall_currency = models.CharField(
        _("currency"), max_length=3, default="USD", validators=[validate_currency]
    )
    paywall_access = models.CharField(
        _("what it opens"),
        max_length=10,
        default=Resource.Access.FOREVER,
        choices=[
            (Resource.Access.FOREVER.value, _("the page, for good")),
            (Resource.Access.PERIOD.value, _("the page, for some days")),
            (Resource.Access.REQUEST.value, _("one reading")),
        ],
    )
    paywall_days = models.PositiveIntegerField(
        _("days"), null=True, blank=True, validators=[MinValueValidator(1)]
    )

    paywall_body: ClassVar[str] = "body"
    """The StreamField in which a `PaywallBreakBlock` may stand."""

    paywall_panels: ClassVar[list[Any]] = [
        MultiFieldPanel(
            [
                FieldRowPanel([FieldPanel("paywall_price"), FieldPanel("paywall_currency")]),
                FieldRowPanel([FieldPanel("paywall_access"), FieldPanel("paywall_days")]),
            ],
            heading=_("Price"),
            icon="lock",
        )
    ]

    class Meta:
        abstract = True

    def clean(self) -> None:
        super().clean()
        needs_days = self.paywall_access == Resource.Access.PERIOD
        if self.paywall_price is not None and needs_days and not self.paywall_days:
            raise ValidationError({"paywall_days": _("For how many days?")})

    def sell(self, amount: str | Decimal, currency: str = "USD", **fields: Any) -> Resource:
        """As `PricedMixin.sell`; the page's own fields say so too."""
        resource = super().sell(amount, currency, **fields)
        self.paywall_price, self.paywall_currency = Decimal(amount), currency
        type(self)._default_manager.filter(pk=self.pk).update(
            paywall_price=self.paywall_price, paywall_currency=currency
        )
        return resource

    @property
    def is_sold(self) -> bool:
        """Whether it takes money to read it. Who has priced it, and switched that off in the admin,
        has closed it: it is not free."""
        resource = self.paywall_resource
        return self.paywall_price is not None or (resource is not None and resource.active)

    # ------------------------------------------------------------------------- Serving

    def serve(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        whole = super().serve  # type: ignore[misc]
        if not self.is_sold:
            return whole(request, *args, **kwargs)
        door = door_to(whole, lambda *_, **__: self, lambda *_, **__: self._teaser(request))
        return door(request, *args, **kwargs)

    def _teaser(self, request: HttpRequest) -> SafeString | str:
        return self.get_paywall_teaser(request)

    def get_paywall_teaser(self, request: HttpRequest) -> SafeString | str:
        """What stands above the break; without one, what the page says to search engines. Override
        it for a teaser of your own: text, unless it is marked safe."""
        body = getattr(self, self.paywall_body, None)
        free: list[str] = []
        for block in body or ():
            if isinstance(block.block, PaywallBreakBlock):
                return mark_safe("".join(free))  # noqa: S308 - rendered by its blocks
            free.append(
                format_html("<div>{}</div>", block.render({"page": self, "request": request}))
            )
        return str(getattr(self, "search_description", "") or "")

    # ------------------------------------------------------------------------- Preview

    @property
    def preview_modes(self) -> list[tuple[str, Any]]:
        return [
            *super().preview_modes,  # type: ignore[misc]
            (AS_BUYER, _("As who has not paid")),
            (AS_PAYER, _("As who has paid")),
        ]

    def serve_preview(self, request: HttpRequest, mode_name: str) -> HttpResponseBase:
        if mode_name == AS_BUYER:
            return self._as_buyer(request)
        shown: HttpResponseBase = super().serve_preview(  # type: ignore[misc]
            request, "" if mode_name == AS_PAYER else mode_name
        )
        return shown

    def _as_buyer(self, request: HttpRequest) -> HttpResponseBase:
        """The page that people pay on, with the teaser as it is being edited; the price is the
        published one."""
        teaser = self._teaser(request)
        resource = self.paywall_resource
        if resource is not None:
            try:
                shown = pages.challenge(
                    request, offers.load(resource.pk), str(teaser), is_preview=True
                )
                shown.status_code = 200  # Wagtail shows no other in its frame
                return shown
            except NotForSale:
                pass
        context = {"page": self, "teaser": teaser, "price": self.paywall_price}
        return HttpResponse(render_to_string("paywall_wagtail/unpublished.html", context, request))
