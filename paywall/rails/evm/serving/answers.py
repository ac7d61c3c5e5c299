"""What this site answers as an x402 facilitator, v1 and v2, over its own key and node."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.http import HttpResponse, JsonResponse
from django.utils import timezone
from x402.schemas import SettleResponse, VerifyResponse

from paywall import conf
from paywall.effects import run
from paywall.exceptions import Refused
from paywall.protocols.x402 import v1_names
from paywall.rails.evm import nodes, schemes, sponsoring, transactions
from paywall.rails.evm.evidence import Depth
from paywall.rails.evm.onchain import OnchainFacilitator
from paywall.rails.evm.schemes.base import payload_of
from paywall.rails.evm.schemes.upto import UpToEvm
from paywall.vocabulary import Charge, Credential, Paid, Rejected, Settled, Settlement, Unknown

from .requests import Malformed, read

if TYPE_CHECKING:
    from django.http import HttpRequest

    from .requests import Asked

log = logging.getLogger(__name__)


def verify(request: HttpRequest, client: str) -> HttpResponse:
    """Is the payment good? By the official mechanism, with a simulation on the chain."""

    def refused(asked: Asked, code: str) -> HttpResponse:
        return _answer(VerifyResponse(is_valid=False, invalid_reason=code))

    def answer(asked: Asked, charge: Charge) -> HttpResponse:
        verdict = run(_facilitator().verify(charge))
        if verdict.valid is None:
            log.error("A payment of %s could not be verified: %s", client, verdict.reason)
            return JsonResponse({"error": "unavailable"}, status=503)
        reason = verdict.reason or None
        return _answer(
            VerifyResponse(is_valid=verdict.valid, invalid_reason=reason, payer=charge.payer)
        )

    return _for_charge(request, answer, refused)


def settle(request: HttpRequest, client: str) -> HttpResponse:
    """Settle, once: the same payment asked for again gets the answer of the first time."""

    def refused(asked: Asked, code: str) -> HttpResponse:
        return _answer(
            SettleResponse(success=False, error_reason=code, transaction="", network=asked.named)
        )

    def answer(asked: Asked, charge: Charge) -> HttpResponse:
        if charge.amount == 0:
            return _answer(_settle_response(asked, charge, Settled("")))
        if charge.wanted.amount > charge.offer.amount:
            return refused(asked, "invalid_upto_evm_payload_settlement_exceeds_amount")
        settlement = run(_facilitator().settle(charge))
        if isinstance(settlement, Unknown):
            settlement = _by_chain(charge, settlement)
        log.info("%s asked to settle %s: %s", client, charge.identity, settlement)
        if isinstance(settlement, Rejected) and settlement.ours:
            # Not 503: our own client, and others, take a 5xx for an unknown outcome.
            headers = {"Retry-After": "5"}
            return JsonResponse({"error": "unavailable"}, status=429, headers=headers)
        return _answer(_settle_response(asked, charge, settlement))

    return _for_charge(request, answer, refused)


def _for_charge(
    request: HttpRequest,
    answer: Callable[[Asked, Charge], HttpResponse],
    refused: Callable[[Asked, str], HttpResponse],
) -> HttpResponse:
    """Read what is asked for; `refused` says so in its own words if its terms are wrong."""
    try:
        asked = read(request.body)
    except Malformed as error:
        return JsonResponse({"error": str(error)}, status=400)
    try:
        charge = _charge(asked)
    except Refused as error:
        return refused(asked, str(error.code))
    return answer(asked, charge)


def supported(request: HttpRequest, client: str) -> HttpResponse:
    """What can be settled here."""
    settings = conf.get()
    kinds: list[dict[str, Any]] = []
    for network in settings.rpc_urls:
        kinds.append({"x402Version": 2, "scheme": "exact", "network": network})
        v1_name = v1_names.name(network)
        if v1_name is not None:
            kinds.append({"x402Version": 1, "scheme": "exact", "network": v1_name})
        if settings.gas_key:
            extra = {"facilitatorAddress": transactions.wallet(settings.gas_key).address}
            by_use = {"scheme": UpToEvm.name, "network": network, "extra": extra}
            kinds.append({"x402Version": 2, **by_use})
    extensions = [sponsoring.NAME] if settings.gas_sponsoring else []
    signers = [transactions.wallet(settings.gas_key).address] if settings.gas_key else []
    return JsonResponse(
        {"kinds": kinds, "extensions": extensions, "signers": {"eip155:*": signers}}
    )


def _facilitator() -> OnchainFacilitator:
    return OnchainFacilitator(conf.DEFAULT, conf.get())


def _charge(asked: Asked) -> Charge:
    """The charge, its authorization in one spelling and checked. Raises `Refused`."""
    credential = Credential(
        "fleet",
        asked.offer.scheme,
        asked.offer.network,
        asked.payload,
        extensions=asked.extensions,
    )
    claim = schemes.named(asked.offer.scheme).read(
        credential, asked.offer, time.time(), conf.get().clock_tolerance
    )
    return Charge(
        asked.offer,
        payload_of(claim),
        str(claim.payer),
        asked.url,
        claim.identity,
        amount=asked.amount,
    )


def _by_chain(charge: Charge, unknown: Unknown) -> Settlement:
    """The chain's word on what is unknown: it may have been settled before, by anybody."""
    node = nodes.of(charge.offer.network)
    if node is None:
        return unknown
    where = Depth(timezone.now(), 1, unknown.reference, conf.get().log_range)
    scheme = schemes.named(charge.offer.scheme)
    finding = run(scheme.find(charge.payload, charge.wanted, node, where))
    return Settled(finding.reference) if isinstance(finding, Paid) else unknown


def _settle_response(asked: Asked, charge: Charge, settlement: Settlement) -> SettleResponse:
    match settlement:
        case Settled(reference=reference):
            return SettleResponse(
                success=True,
                transaction=reference,
                network=asked.named,
                payer=charge.payer,
                amount=None if charge.amount is None else str(charge.amount),
            )
        case Rejected(code=code, detail=detail):
            return SettleResponse(
                success=False,
                error_reason=code,
                error_message=detail or None,
                transaction="",
                network=asked.named,
                payer=charge.payer,
            )
    return SettleResponse(
        success=False,
        error_reason="settlement_pending",
        error_message=settlement.reason,
        transaction=settlement.reference,
        network=asked.named,
        payer=charge.payer,
    )


def _answer(model: VerifyResponse | SettleResponse) -> HttpResponse:
    return HttpResponse(
        json.dumps(model.model_dump(by_alias=True, exclude_none=True)),
        content_type="application/json",
    )
