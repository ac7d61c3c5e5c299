"""How vouchers travel: `Authorization: Voucher ...`, a header that a site's own tokens share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from paywall.protocols.base import Goods, Part, Protocol
from paywall.vocabulary import Asked, Credential, Offer, Outcome

SCHEME = "voucher "


class VoucherProtocol(Protocol):
    name: ClassVar[str] = "voucher/1"
    request_headers: ClassVar[tuple[str, ...]] = ("Authorization",)
    response_headers: ClassVar[tuple[str, ...]] = ("WWW-Authenticate", "Voucher-Receipt")

    def find(self, headers: Mapping[str, str]) -> str | None:
        value = headers.get("HTTP_AUTHORIZATION", "")
        return value[len(SCHEME) :] if value.lower().startswith(SCHEME) else None

    def read(self, text: str) -> Credential:
        return Credential(self.name, "voucher", "vouchers:test", {"token": text.strip()})

    def challenge(self, goods: Goods, offers: Sequence[Offer]) -> Part | None:
        prices = [offer.amount for offer in offers if offer.scheme == "voucher"]
        return VoucherPart(prices) if prices else None

    def outcome(self, outcome: Outcome) -> Mapping[str, str]:
        if outcome.network != "vouchers:test":
            return {}
        return {"Voucher-Receipt": outcome.reference or outcome.error_code}


class VoucherPart(Part):
    def __init__(self, prices: list[int]) -> None:
        self.prices = prices

    def headers(self, asked: Asked, code: str) -> Mapping[str, str]:
        price = ",".join(map(str, self.prices))
        return {"WWW-Authenticate": f'Voucher realm="{asked.url}", price="{price}"'}
