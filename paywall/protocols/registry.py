"""Which protocols are spoken: ours, and those that the settings name.

PAYWALL = {"PROTOCOLS": ["site.protocols.LoyaltyPoints"]}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paywall import conf, extensions
from paywall.exceptions import Code, Refused

from .base import Goods, Part, Protocol
from .challenge import Challenge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from paywall.vocabulary import Credential, Offer, Outcome

OURS = (
    "paywall.protocols.x402.v2.X402V2",
    "paywall.protocols.x402.v1.X402V1",
    "paywall.protocols.mpp.v1.Mpp",
)


def ours() -> list[Protocol]:
    """Those that need no setting."""
    return extensions.made("PROTOCOLS", OURS, Protocol)


@conf.kept
def all_() -> tuple[Protocol, ...]:
    """Every protocol. Raises `ImproperlyConfigured`, naming the setting."""
    paths = (*OURS, *conf.get().protocols)
    return tuple(extensions.by_name("PROTOCOLS", paths, Protocol).values())


@conf.kept
def request_headers() -> tuple[str, ...]:
    """What all of them read."""
    return tuple(dict.fromkeys(name for p in all_() for name in p.request_headers))


def brings_credential(headers: Mapping[str, str]) -> bool:
    """Whether a request brings what some protocol takes for a credential."""
    return any(protocol.find(headers) is not None for protocol in all_())


def read_credential(headers: Mapping[str, str], limit: int) -> Credential | None:
    """The credential among a request's headers (its `META`), or None. Raises `Refused` for a bad
    one.

    Two credentials are refused rather than choosing one: what we checked and what a proxy or a log
    believes was paid must be the same.
    """
    found: tuple[Protocol, str] | None = None
    for protocol in all_():
        text = protocol.find(headers)
        if text is None:
            continue
        if found is not None:
            raise Refused(Code.AMBIGUOUS_CREDENTIAL, status=400)
        found = protocol, text
    if found is None:
        return None
    protocol, text = found
    if len(text) > limit:
        raise Refused(Code.CREDENTIAL_TOO_LARGE, status=400)
    return protocol.read(text)


def challenge(goods: Goods, offers: Sequence[Offer]) -> Challenge:
    """The challenge for a resource, ready to be filled with a request's URL."""
    parts: list[Part] = []
    how_to_pay: list[str] = []
    for protocol in all_():
        part = protocol.challenge(goods, offers)
        if part is not None:
            parts.append(part)
            if protocol.how_to_pay:
                how_to_pay.append(protocol.how_to_pay)
    return Challenge(parts, _prices(offers), how_to_pay)


def _prices(offers: Sequence[Offer]) -> str:
    """What it costs, as programs and developers read it: "0.01 USD or 0.01 EUR"."""
    prices = dict.fromkeys((offer.price, offer.currency, offer.at_most) for offer in offers)
    return " or ".join(
        f"{'at most ' if at_most else ''}{price.normalize():f} {currency}"
        for price, currency, at_most in prices
    )


def outcome_headers(outcome: Outcome) -> dict[str, str]:
    """The headers that tell a buyer of any protocol what became of the payment."""
    found: dict[str, str] = {}
    for protocol in all_():
        found |= protocol.outcome(outcome)
    return found


def refusal(headers: Mapping[str, str], status: int, code: str) -> tuple[int, str]:
    """The status and the problem's type of a refusal, as the protocol of the credential that a
    request brings has them."""
    for protocol in all_():
        if protocol.find(headers) is not None:
            return protocol.refusal(status, code)
    return status, "about:blank"


def without_offer(code: str) -> dict[str, Any]:
    """Members of the body of an answer that asks nobody to pay."""
    found: dict[str, Any] = {}
    for protocol in all_():
        found |= protocol.without_offer(code)
    return found
