"""The three endpoints of an x402 facilitator, v1 and v2, over the site's own key and node."""

from __future__ import annotations

import functools
import json
import logging
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe
from x402.schemas import SettleResponse, VerifyResponse

from paywall import conf
from paywall.effects import run
from paywall.exceptions import Refused
from paywall.rails.evm import exact, networks, nodes, transactions
from paywall.settlement.facilitators import OnchainFacilitator, Order
from paywall.vocabulary import Clue, Credential, Paid, Rejected, Settled, Settlement, Unknown

from .orders import Malformed, read

if TYPE_CHECKING:
    from django.http import HttpRequest

    from .orders import Asked

log = logging.getLogger(__name__)

View = Callable[["HttpRequest"], HttpResponse]


def for_clients(view: Callable[[HttpRequest, str], HttpResponse]) -> View:
    """Only who has a token of `FACILITATOR_CLIENTS`; the view learns the client's name."""

    @login_not_required
    @csrf_exempt
    @functools.wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        client = _client(request)
        if client is None:
            refusal = JsonResponse({"error": "unauthorized"}, status=401)
            refusal.headers["WWW-Authenticate"] = 'Bearer realm="facilitator"'
            return refusal
        response = view(request, client)
        response.headers["Cache-Control"] = "no-store"
        return response

    return guarded


@require_POST
@for_clients
def verify(request: HttpRequest, client: str) -> HttpResponse:
    """Is the payment good? By the official mechanism, with a simulation on the chain."""

    def refused(asked: Asked, code: str) -> HttpResponse:
        return _answer(VerifyResponse(is_valid=False, invalid_reason=code))

    def answer(asked: Asked, order: Order) -> HttpResponse:
        verdict = run(_facilitator().verify(order))
        if verdict.valid is None:
            log.error("A payment of %s could not be verified: %s", client, verdict.reason)
            return JsonResponse({"error": "unavailable"}, status=503)
        reason = verdict.reason or None
        return _answer(
            VerifyResponse(is_valid=verdict.valid, invalid_reason=reason, payer=order.payer)
        )

    return _for_order(request, answer, refused)


@require_POST
@for_clients
def settle(request: HttpRequest, client: str) -> HttpResponse:
    """Settle, once: the same payment asked for again gets the answer of the first time."""

    def refused(asked: Asked, code: str) -> HttpResponse:
        return _answer(
            SettleResponse(success=False, error_reason=code, transaction="", network=asked.named)
        )

    def answer(asked: Asked, order: Order) -> HttpResponse:
        settlement = run(_facilitator().settle(order))
        if isinstance(settlement, Unknown):
            settlement = _by_chain(order, settlement)
        log.info("%s asked to settle %s: %s", client, order.identity, settlement)
        if isinstance(settlement, Rejected) and settlement.ours:
            # Not 503: our own client, and others, take a 5xx for an unknown outcome.
            headers = {"Retry-After": "5"}
            return JsonResponse({"error": "unavailable"}, status=429, headers=headers)
        return _answer(_settle_response(asked, order, settlement))

    return _for_order(request, answer, refused)


def _for_order(
    request: HttpRequest,
    answer: Callable[[Asked, Order], HttpResponse],
    refused: Callable[[Asked, str], HttpResponse],
) -> HttpResponse:
    """Read what is asked for; `refused` says so in its own words if its terms are wrong."""
    try:
        asked = read(request.body)
    except Malformed as error:
        return JsonResponse({"error": str(error)}, status=400)
    try:
        order = _order(asked)
    except Refused as error:
        return refused(asked, str(error.code))
    return answer(asked, order)


@require_safe
@for_clients
def supported(request: HttpRequest, client: str) -> HttpResponse:
    """What can be settled here."""
    settings = conf.get()
    kinds: list[dict[str, Any]] = []
    for network in settings.rpc_urls:
        kinds.append({"x402Version": 2, "scheme": "exact", "network": network})
        v1_name = networks.v1_name(network)
        if v1_name is not None:
            kinds.append({"x402Version": 1, "scheme": "exact", "network": v1_name})
    signers = [transactions.wallet(settings.gas_key).address] if settings.gas_key else []
    return JsonResponse({"kinds": kinds, "extensions": [], "signers": {"eip155:*": signers}})


def _client(request: HttpRequest) -> str | None:
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return None
    found = None
    for name, known in conf.get().facilitator_clients.items():
        if known and secrets.compare_digest(known.encode(), token.encode()):
            found = name
    return found


def _facilitator() -> OnchainFacilitator:
    return OnchainFacilitator(conf.DEFAULT, conf.get())


def _order(asked: Asked) -> Order:
    """The order, its authorization in one spelling and checked. Raises `Refused`."""
    credential = Credential("fleet", asked.offer.scheme, asked.offer.network, asked.payload)
    authorization = exact.named(asked.offer.scheme).read(
        credential, asked.offer, time.time(), conf.get().clock_tolerance
    )
    return Order(
        asked.offer,
        authorization.payload,
        authorization.payer,
        asked.url,
        authorization.identity,
    )


def _by_chain(order: Order, unknown: Unknown) -> Settlement:
    """The chain's word on what is unknown: it may have been settled before, by anybody."""
    node = nodes.of(order.offer.network)
    if node is None:
        return unknown
    clue = Clue(timezone.now(), 1, unknown.transaction, conf.get().log_range)
    scheme = exact.named(order.offer.scheme)
    finding = run(scheme.find(order.payload, order.offer, node, clue))
    return Settled(finding.transaction) if isinstance(finding, Paid) else unknown


def _settle_response(asked: Asked, order: Order, settlement: Settlement) -> SettleResponse:
    match settlement:
        case Settled(transaction=transaction):
            return SettleResponse(
                success=True, transaction=transaction, network=asked.named, payer=order.payer
            )
        case Rejected(code=code, detail=detail):
            return SettleResponse(
                success=False,
                error_reason=code,
                error_message=detail or None,
                transaction="",
                network=asked.named,
                payer=order.payer,
            )
    return SettleResponse(
        success=False,
        error_reason="settlement_pending",
        error_message=settlement.reason,
        transaction=settlement.transaction,
        network=asked.named,
        payer=order.payer,
    )


def _answer(model: VerifyResponse | SettleResponse) -> HttpResponse:
    return HttpResponse(
        json.dumps(model.model_dump(by_alias=True, exclude_none=True)),
        content_type="application/json",
    )
