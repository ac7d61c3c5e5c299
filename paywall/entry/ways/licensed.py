"""A license token (RSL's Crawler Authorization Protocol): `Authorization: License rsl_...`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from paywall.effects import query
from paywall.exceptions import Code, Refused
from paywall.ledger import licenses

from .base import Ticket, Way

if TYPE_CHECKING:
    from paywall.effects import Steps
    from paywall.models import LicenseToken

    from .base import Visit

SCHEME = "license "


class Licenses(Way):
    """For who brings a token that is good here. Raises `Refused` for one that is not: 402 where it
    has to be paid for, 403 where it is for something else."""

    name: ClassVar[str] = "license token"

    def admit(self, visit: Visit) -> Steps[Ticket | None] | None:
        brought = visit.request.META.get("HTTP_AUTHORIZATION", "")
        if brought[: len(SCHEME)].lower() != SCHEME or visit.brings_payment or visit.is_part:
            return None
        return self._look(visit, brought[len(SCHEME) :].strip())

    def _look(self, visit: Visit, text: str) -> Steps[Ticket | None]:
        token = yield from query(licenses.find, text)
        if token is None:
            raise Refused(Code.LICENSE_INVALID)
        if token.resource_id not in (visit.sale.resource_id, visit.sale.bundle_id):
            raise Refused(Code.LICENSE_ELSEWHERE, status=403)
        return Licensed(token, is_a_question=visit.is_a_question)


class Licensed(Ticket):
    """One use of a token."""

    def __init__(self, token: LicenseToken, *, is_a_question: bool) -> None:
        self.token, self.is_a_question = token, is_a_question

    def use(self) -> Steps[None]:
        if not self.is_a_question:
            yield from query(licenses.use, self.token)
