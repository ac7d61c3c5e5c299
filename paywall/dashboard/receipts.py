"""Receipts: the list, and each with its whole story and what can be done about it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.mail import send_mail
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from paywall import durable, ledger, staff_log
from paywall.ledger import receipts
from paywall.models import AccessPass, PaymentEvent, Receipt, Transaction
from paywall.rails import registry
from paywall.reports import advice
from paywall.settlement import refunds

from .forms import NoteForm, RefundForm, ResendForm, in_token, tell
from .search import FilterForm, find
from .search import page as page_of
from .shell import admin_url, page, staff_only, url, wants_fragment

if TYPE_CHECKING:
    from django.forms import Form
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from paywall.models import Payment

log = logging.getLogger(__name__)

PERMISSIONS = {
    "refund": "paywall.refund_payment",
    "resend": "paywall.note_receipt",
    "note": "paywall.note_receipt",
    "revoke": "paywall.revoke_accesspass",
}


@require_safe
@staff_only("paywall.view_receipt")
def index(request: HttpRequest) -> HttpResponseBase:
    """The newest receipts, or those that the filters ask for; kept up to date while it is open."""
    form = FilterForm(request.GET)
    newest = _newest_change()
    if wants_fragment(request) and request.GET.get("seen") == newest:
        return HttpResponse(status=204)
    query = form.cleaned_data if form.is_valid() else {}
    found = page_of(
        find(query) if form.is_valid() else Receipt.objects.none(),
        request.GET.get("before", ""),
        request.GET.get("after", ""),
    )
    asked = {
        name: value
        for name, value in request.GET.items()
        if value and name in form.fields  # not the key of a page
    }
    exports = url(request, "exports")
    context = {
        "title": _("Receipts"),
        "form": form,
        "page": found,
        "rows": [(receipt, url(request, "receipt", receipt.pk)) for receipt in found.receipts],
        "older": found.older and f"?{urlencode({**asked, 'before': found.older})}",
        "newer": found.newer and f"?{urlencode({**asked, 'after': found.newer})}",
        "first": f"?{urlencode(asked)}",
        "live": f"{request.path}?{urlencode({**asked, 'seen': newest})}" if found.is_first else "",
        "export_url": f"{exports}?{urlencode(asked)}",
        "dashboard_url": url(request, "index"),
        "is_filtered": bool(asked),
        "failed_url": _among_payments(request.GET.get("q", "")),
    }
    return page(request, "receipts.html", context, fragment=wants_fragment(request))


def _among_payments(text: str) -> str:
    """Where what was searched for is looked for among all payments, failed ones too."""
    where = admin_url("paywall_payment_changelist")
    return f"{where}?{urlencode({'q': text})}" if where and text else ""


def _newest_change() -> str:
    """Changes with every new receipt, and with every move of a payment."""
    using = durable.alias()
    receipt = Receipt.objects.using(using).order_by("-pk").values_list("pk", flat=True).first()
    event = PaymentEvent.objects.using(using).order_by("-pk").values_list("pk", flat=True).first()
    return f"{receipt or 0}-{event or 0}"


@require_safe
@staff_only("paywall.view_receipt")
def receipt(request: HttpRequest, pk: int) -> HttpResponseBase:
    """One receipt, with all that happened to its payment."""
    return _show(request, _find(pk), {})


@require_POST
@staff_only("paywall.view_receipt")
def act(request: HttpRequest, pk: int, action: str) -> HttpResponseBase:
    """Refund, resend, revoke the pass, or write a note; then the receipt again."""
    if action not in PERMISSIONS:
        raise Http404
    if not request.user.has_perm(PERMISSIONS[action]):
        raise PermissionDenied
    found = _find(pk)
    form = _forms(found)[action]
    bound: Form | None = None
    if form is not None:
        kwargs: dict[str, Any] = {"payments": [found.payment]} if action == "refund" else {}
        bound = type(form)(request.POST, prefix=action, **kwargs)
        if not bound.is_valid():
            return _show(request, found, {action: bound})
    _ACTIONS[action](request, found, bound)
    return HttpResponseRedirect(url(request, "receipt", pk))


def _refund(request: HttpRequest, found: Receipt, form: Any) -> None:
    tell(request, *form.request_all(request.user))


def _note(request: HttpRequest, found: Receipt, form: Any) -> None:
    ledger.note(found.payment, "note", text=form.cleaned_data["text"], by=str(request.user))
    messages.success(request, gettext("The note was written down."))


def _resend(request: HttpRequest, found: Receipt, form: Any) -> None:
    path = receipts.path(found.payment)
    if path is None:
        messages.error(request, gettext("The site does not show receipts: mount paywall.urls."))
        return
    to = form.cleaned_data["to"]
    context = {"receipt": found, "url": request.build_absolute_uri(path)}
    try:
        send_mail(
            " ".join((gettext("Your receipt: %s") % found.sold["title"]).split()),
            render_to_string("paywall/receipt_mail.txt", context),
            None,
            [to],
        )
    except Exception as error:
        # Mail backends have exceptions of their own.
        log.warning("payment=%s: the receipt could not be sent: %s", found.payment_id, error)
        messages.error(request, gettext("It could not be sent: %s") % error)
        return
    ledger.note(found.payment, "receipt sent again", to=to, by=str(request.user))
    messages.success(request, gettext("The receipt was sent to %s.") % to)


def _revoke(request: HttpRequest, found: Receipt, _form: Any) -> None:
    ledger.revoke_pass(found.payment)
    ledger.note(found.payment, "pass revoked", by=str(request.user))
    staff_log.changed(request.user, found.payment, "Access pass", "open", "revoked")
    messages.success(request, gettext("The pass is revoked: it opens nothing any more."))


_ACTIONS = {"refund": _refund, "note": _note, "resend": _resend, "revoke": _revoke}


def _find(pk: int) -> Receipt:
    receipts_ = Receipt.objects.using(durable.alias())
    found = (
        receipts_.select_related("payment__account", "payment__resource", "payment__user")
        .prefetch_related("payment__refunds__by")
        .filter(pk=pk)
        .first()
    )
    if found is None:
        raise Http404("There is no such receipt.")
    return found


def _forms(found: Receipt) -> dict[str, Form | None]:
    """What can be done about a receipt now, whoever may do it."""
    payment = found.payment
    forms: dict[str, Form | None] = {
        "note": NoteForm(prefix="note"),
        "resend": ResendForm(prefix="resend", initial={"to": getattr(payment.user, "email", "")}),
        "revoke": None,
        "refund": RefundForm(prefix="refund", payments=[payment]),
    }
    return forms


def _show(request: HttpRequest, found: Receipt, bound: dict[str, Form]) -> HttpResponseBase:
    payment = found.payment
    offer = payment.taken_offer
    forms = _forms(found) | bound
    access_pass = AccessPass.objects.using(durable.alias()).filter(payment=payment).first()
    left = refunds.remaining(payment)
    allowed = {action: request.user.has_perm(name) for action, name in PERMISSIONS.items()}
    sent = Transaction.objects.using(durable.alias()).filter(hash=payment.reference).first()
    context = {
        "title": str(found),
        "receipt": found,
        "payment": payment,
        "offer": offer,
        "amount": in_token(payment.atomic_amount, offer),
        "network": registry.network(payment.network).title,
        "is_testnet": registry.network(payment.network).testnet,
        "links": _links(payment),
        "story": _story(payment),
        "advice": advice.about(payment),
        "refunds": [
            (refund, in_token(int(refund.amount), offer)) for refund in payment.refunds.all()
        ],
        "pass": access_pass,
        "fee": sent.fee if sent is not None and payment.reference else None,
        "public_path": receipts.path(payment),
        "admin_payment": admin_url("paywall_payment_change", payment.pk),
        "admin_resource": admin_url("paywall_resource_change", payment.resource_id),
        "can_refund": allowed["refund"]
        and ((payment.state == "confirmed" and left > 0) or "refund" in bound),
        "can_revoke": allowed["revoke"]
        and access_pass is not None
        and access_pass.revoked_at is None,
        "can_note": allowed["note"],
        "left": in_token(left, offer),
        "forms": forms,
        "urls": {action: url(request, "act", found.pk, action) for action in PERMISSIONS},
        "receipts_url": url(request, "receipts"),
        "dashboard_url": url(request, "index"),
    }
    status = 400 if bound else 200
    response = page(request, "receipt.html", context)
    response.status_code = status
    return response


def _links(payment: Payment) -> dict[str, str | None]:
    """The block explorer's pages of what a payment names."""
    rail, network, terms = payment.rail, payment.network, payment.taken_offer.terms
    return {
        "transaction": registry.reference_url(rail, network, payment.reference),
        "payer": registry.party_url(rail, network, payment.payer),
        "pay_to": registry.party_url(rail, network, terms.get("payTo")),
        "asset": registry.party_url(rail, network, terms.get("asset")),
        "block": registry.position_url(rail, network, payment.position),
    }


def _story(payment: Payment) -> list[dict[str, Any]]:
    """All that happened, in words, from the challenge on."""
    offer = payment.taken_offer
    story: list[dict[str, Any]] = [
        {
            "at": None,
            "what": gettext("challenge"),
            "text": gettext("%(amount)s on %(network)s was offered for %(method)s %(url)s")
            % {
                "amount": in_token(offer.amount, offer),
                "network": registry.network(offer.network).title,
                "method": payment.method,
                "url": payment.url,
            },
        },
        {
            "at": payment.created_at,
            "what": gettext("verification"),
            "text": gettext(
                "By %(protocol)s: signature, window, amount, recipient and offer were right."
            )
            % {"protocol": payment.protocol},
        },
    ]
    names = {
        "claimed": gettext("claimed"),
        "delivered": gettext("delivered"),
        "collected": gettext("collected later"),
        "settling": gettext("settling"),
        "settled": gettext("settled"),
        "confirmed": gettext("confirmed"),
        "failed": gettext("failed"),
        "lost": gettext("lost"),
        "note": gettext("note"),
    }
    for at, kind, data in payment.story:
        told = advice.told(payment, data)
        story.append({"at": at, "what": names.get(kind, kind), "text": told})
    return story
