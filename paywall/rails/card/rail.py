"""The rail of cards, as the rest of the house sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from paywall.exceptions import Code, Unavailable
from paywall.rails.base import Network, Rail

from . import (
    api,
    checkout,
    checks,
    declines,
    doctor,
    finding,
    news,
    orders,
    reconciliation,
    refunds,
    terms,
    tokens,
    webhooks,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    from django.core.checks import CheckMessage
    from django.http import HttpRequest, HttpResponse

    from paywall.checkout.methods import PaymentMethod
    from paywall.effects import Steps
    from paywall.exceptions import PaywallError
    from paywall.findings import Finding as Examined
    from paywall.models import Account, Payment, Refund
    from paywall.rails.base import Comparison, Facilitator, Seen
    from paywall.vocabulary import Charge, Claim, Clue, Credential, Finding, News, Offer


class CardRail(Rail):
    """Cards, and what else Stripe's checkout takes, for people."""

    name: ClassVar[str] = terms.RAIL
    title: ClassVar[Any] = _("cards (Stripe)")
    is_public: ClassVar[bool] = False
    test_told: ClassVar[Any] = _("test mode")
    schemes: ClassVar[frozenset[str]] = frozenset({tokens.SCHEME})
    fixed_terms: ClassVar[frozenset[str]] = frozenset({"currency"})

    # ---------------------------------------------------------------------- Accounts

    def read_terms(self, network: str, terms_: Mapping[str, Any]) -> dict[str, Any]:
        return terms.read(network, terms_)

    def account_identity(self, network: str, terms_: Mapping[str, Any]) -> str:
        return f"{network}/{terms_['currency']}"

    def recipient(self, terms_: Mapping[str, Any]) -> str:
        return "Stripe"

    def account_form(self) -> Any:
        from .desk import CardAccountForm

        return CardAccountForm

    def offered(self, account: Account) -> tuple[str, dict[str, Any]]:
        profile = account.terms.get("profile")
        more = {tokens.PROFILE: profile} if profile else {}
        return terms.SCHEME, {"descriptor": account.terms["descriptor"], **more}

    def takes(self, account: Account, price: Decimal) -> bool:
        return api.is_set_up() and terms.takes(account, price)

    def told(self, offer: Offer) -> str:
        return gettext("by card")

    def network(self, id_: str) -> Network | None:
        titles = {terms.LIVE: "Stripe", terms.TEST: "Stripe"}
        return Network(id_, titles[id_], id_ == terms.TEST) if id_ in titles else None

    # ------------------------------------------------------------------------ People

    def payment_methods(self) -> Sequence[PaymentMethod]:
        return (checkout.Card(),)

    def failure(self, error: BaseException) -> PaywallError | None:
        return declines.failure(error)

    def hear(self, request: HttpRequest) -> HttpResponse:
        return webhooks.hear(request)

    def catch_up(self, since: datetime) -> Mapping[str, int]:
        return webhooks.catch_up(since)

    # ---------------------------------------------------------------------- Programs

    def pick(self, credential: Credential, offers: Sequence[Offer]) -> Offer | None:
        return next((offer for offer in offers if tokens.PROFILE in offer.terms), None)

    def identities(self, credential: Credential, terms: Sequence[Mapping[str, Any]]) -> list[str]:
        return [tokens.identity(tokens.token_of(credential))]

    def read(self, credential: Credential, offer: Offer, now: float, tolerance: float) -> Claim:
        return tokens.read(credential, offer)

    def is_worth_asking(self, claim: Claim) -> Steps[bool]:
        return False
        yield

    def facilitators(self, offer: Offer) -> Steps[list[Facilitator]]:
        return [self.facilitator(tokens.ByToken.name)]
        yield

    def facilitator(self, name: str) -> Facilitator:
        if name != tokens.ByToken.name or not api.is_set_up():
            raise Unavailable(Code.FACILITATOR_UNAVAILABLE)
        return tokens.ByToken()

    # ------------------------------------------------------------------------- Proof

    def can_find(self, network: str) -> bool:
        return api.is_set_up()

    def find(self, charge: Charge, clue: Clue) -> Steps[Finding]:
        if tokens.is_one(charge.identity):
            return tokens.find(charge, clue)
        return finding.find(charge, clue)

    def reconcile(
        self, since: datetime | None, progress: Callable[[int, int], None]
    ) -> Sequence[Comparison]:
        return reconciliation.reconcile(since, progress)

    # ----------------------------------------------------------------------- Refunds

    def sends_refunds(self) -> bool:
        return api.is_set_up()

    def check_refund(self, payment: Payment, sent_in: str, sender: str) -> tuple[str, str]:
        return refunds.check(payment, sent_in), ""

    def send_refund(self, refund: Refund, mark: Callable[[str], None]) -> Steps[None]:
        return refunds.send(refund, mark)

    def look_for_refund(self, refund: Refund) -> Steps[Seen]:
        return refunds.look(refund)

    # -------------------------------------------------------------------- The owner's

    def reference_url(self, network: str, reference: str) -> str | None:
        if not reference.startswith("pi_"):
            return None
        mode = "test/" if network == terms.TEST else ""
        return f"https://dashboard.stripe.com/{mode}payments/{reference}"

    def party_url(self, network: str, party: str) -> str | None:
        return None

    def position_url(self, network: str, position: int) -> str | None:
        return None

    def spelled(self, text: str) -> tuple[str, str] | None:
        return ("reference", text) if text.startswith("pi_") and text.isascii() else None

    def check_settings(self) -> Iterator[CheckMessage]:
        return iter(())

    def check_account(self, account: Account) -> Iterator[CheckMessage]:
        return checks.check_account(account)

    def examine(self, accounts: Sequence[Account]) -> Iterator[Examined]:
        return doctor.examine(accounts)

    def news(self) -> Iterator[News]:
        return news.news()

    def chores(self) -> None:
        webhooks.forget_old()

    def end_orders(self) -> None:
        orders.end()
