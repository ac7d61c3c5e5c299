"""A remote x402 facilitator, and what its answers prove.

Only three things are certain: that nothing was sent to it, that it refused before it sent
anything to the chain, and that it names a transaction. Everything else may have moved money.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import ValidationError
from x402.schemas import (
    PaymentPayload,
    PaymentRequirements,
    ResourceInfo,
    SettleRequest,
    SettleResponse,
    VerifyResponse,
)

from paywall.effects import Send, send
from paywall.exceptions import Code
from paywall.logs import plain
from paywall.protocols.x402 import bazaar, v1_names
from paywall.protocols.x402.requirements import requirements
from paywall.vocabulary import Charge, Offer, Rejected, Settled, Settlement, Unknown, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from paywall.conf import Remote, Settings
    from paywall.effects import Steps

REFUSALS = re.compile(
    r"(?!.*nonce)(invalid_(exact|upto)_evm_payload_\w+|invalid_permit2_\w+|permit2_\w+)"
    r"|invalid_exact_evm_(insufficient_balance|token_name_mismatch|token_version_mismatch"
    r"|eip3009_not_supported|transaction_simulation_failed|failed_to_get_network_config"
    r"|failed_to_get_asset_info|failed_to_verify_signature)"
    r"|upto_(facilitator_mismatch|amount_exceeds_permitted|unauthorized_facilitator)"
    r"|invalid_upto_evm_(scheme|network_mismatch|failed_to_get_network_config)"
    r"|insufficient_funds|invalid_scheme|unsupported_scheme|invalid_network|network_mismatch"
    r"|invalid_payload|invalid_payment_requirements|invalid_x402_version"
    r"|missing_eip712_domain|asset_not_deployed_contract|eip6492_factory_not_allowed"
    r"|smart_wallet_deployment_failed"
)
"""Reasons that facilitators give before they send anything. Whatever speaks of a used nonce is
none of them: it may have been used by this very payment. Nor is `transaction_failed`."""

NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.InvalidURL,
    httpx.UnsupportedProtocol,
)
"""Errors before the first byte of a request went out."""

NOT_PROCESSED = frozenset({301, 302, 303, 307, 308, 401, 403, 404, 405, 413, 415, 429})
"""Statuses by which a server says that it did not act on the request."""

log = logging.getLogger(__name__)

_REASON = re.compile(r"\w{1,100}", re.ASCII)


class HttpFacilitator:
    """Settles over HTTP, once a call: whether to ask again is not for here to decide."""

    def __init__(
        self,
        name: str,
        remote: Remote,
        settings: Settings,
        is_reference: Callable[[object], bool],
    ) -> None:
        """`is_reference` says whether an answer's transaction can be one."""
        self.name = name
        self._is_reference = is_reference
        self._remote = remote
        self._settings = settings
        self._url = remote.url.rstrip("/")

    def settle(self, charge: Charge) -> Steps[Settlement]:
        try:
            request = self._request("settle", charge, charge.wanted)
        except Exception as error:
            # The site's own hook for the headers can fail in any way; nothing was sent.
            log.exception("The request to /settle could not be made")
            return Rejected(
                Code.FACILITATOR_UNAVAILABLE, f"not made ({type(error).__name__})", ours=True
            )
        try:
            response = yield from send(request)
        except NOT_SENT as error:
            return Rejected(
                Code.FACILITATOR_UNAVAILABLE, f"not reached ({type(error).__name__})", ours=True
            )
        except Exception as error:
            return Unknown(f"no answer ({type(error).__name__})")
        return _settlement(response, charge, self._is_reference)

    def verify(self, charge: Charge) -> Steps[Verdict]:
        try:
            response = yield from send(self._request("verify", charge, charge.offer))
            answer = VerifyResponse.model_validate(response.json(), strict=True)
        except Exception as error:
            return Verdict(None, f"no usable answer ({type(error).__name__})")
        if response.status_code >= 500:
            return Verdict(None, f"status {response.status_code}")
        if answer.is_valid and not response.is_success:
            return Verdict(None, f"valid, with status {response.status_code}")
        return Verdict(answer.is_valid, _named(answer.invalid_reason))

    def _request(self, endpoint: str, charge: Charge, wanted: Offer) -> Send:
        settings = self._settings
        return Send(
            "POST",
            f"{self._url}/{endpoint}",
            json=_body(charge, wanted),
            headers=self._remote.headers(endpoint),
            timeout=httpx.Timeout(
                settings.facilitator_read_timeout,
                connect=settings.facilitator_connect_timeout,
                pool=settings.facilitator_connect_timeout,
            ),
        )


def _body(charge: Charge, wanted: Offer) -> dict[str, Any]:
    """The request of both endpoints, in x402 v2 however the buyer's payment travelled. `wanted` is
    what the buyer accepted, or what is to be taken of that."""
    payload = dict(charge.payload)
    extensions = payload.pop("extensions", {}) | bazaar.extension(charge.interface)
    request = SettleRequest(
        x402_version=2,
        payment_payload=PaymentPayload(
            payload=payload,
            accepted=PaymentRequirements.model_validate(requirements(charge.offer)),
            resource=ResourceInfo(url=charge.url),
            extensions=extensions or None,
        ),
        payment_requirements=PaymentRequirements.model_validate(requirements(wanted)),
    )
    return request.model_dump(by_alias=True, exclude_none=True)


def _settlement(
    response: httpx.Response, charge: Charge, is_reference: Callable[[object], bool]
) -> Settlement:
    """What an answer of /settle proves."""
    status = response.status_code
    if status in NOT_PROCESSED:
        return Rejected(Code.FACILITATOR_UNAVAILABLE, f"answered {status}", ours=True)
    if status >= 500:
        return Unknown(f"status {status}")
    try:
        # Strict: "false" is a string, not a failure, and not a success either.
        answer = SettleResponse.model_validate(response.json(), strict=True)
    except (ValidationError, ValueError):
        return Unknown(f"status {status} without a settlement response")
    transaction = answer.transaction if is_reference(answer.transaction) else ""
    if answer.success:
        if not response.is_success:
            return Unknown(f"success, with status {status}", transaction)
        if not transaction:
            return Unknown("success without a transaction")
        if charge.offer.network not in (answer.network, v1_names.network(answer.network)):
            return Unknown("success on another network")
        if answer.payer and answer.payer.lower() != charge.payer.lower():
            return Unknown("success for another payer", transaction)
        if charge.amount is not None and answer.amount not in (None, str(charge.amount)):
            return Unknown("success for another amount", transaction)
        return Settled(transaction.lower())
    reason = _named(answer.error_reason)
    if not transaction and REFUSALS.fullmatch(reason):
        return Rejected(reason, plain(answer.error_message or "", 500))
    return Unknown(reason or "a failure without a reason", transaction.lower())


def _named(reason: str | None) -> str:
    """A reason if it is a plain word: it goes into headers, logs and the admin."""
    return reason if reason and _REASON.fullmatch(reason) else ""
