"""Money as vouchers: a signed token, good once, redeemed where it was issued."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import httpx
from django import forms

from paywall.admin.accounts import AccountForm
from paywall.effects import Send, Steps, query, send
from paywall.exceptions import Code, Refused
from paywall.models import Account, Payment, Refund
from paywall.rails.base import Facilitator, Network, Rail, Seen, Unacceptable, Unreachable
from paywall.vocabulary import (
    Charge,
    Claim,
    Clue,
    Credential,
    Finding,
    Offer,
    Paid,
    Rejected,
    Settled,
    Settlement,
    Spent,
    Undecided,
    Unknown,
    Unspent,
    Verdict,
)

from . import issuer

TIMEOUT = httpx.Timeout(0.4)


class VoucherAccountForm(AccountForm):
    issuer = forms.URLField(label="Issuer", assume_scheme="https")
    shop = forms.CharField(label="Our name there")

    rail = "voucher"
    terms_fields = ("issuer", "shop")
    first = ("issuer", "shop", "network", "symbol", "decimals", "currency")
    by_hand = ()


class VoucherRail(Rail):
    name: ClassVar[str] = "voucher"
    title: ClassVar[Any] = "Vouchers"
    schemes: ClassVar[frozenset[str]] = frozenset({"voucher"})
    fixed_terms: ClassVar[frozenset[str]] = frozenset({"issuer", "shop"})

    def read_terms(self, network: str, terms: Mapping[str, Any]) -> dict[str, Any]:
        if not str(terms.get("issuer", "")).startswith("http"):
            raise Unacceptable("issuer", "An issuer is at a URL.")
        return {"issuer": terms["issuer"], "shop": str(terms.get("shop", ""))}

    def account_identity(self, network: str, terms: Mapping[str, Any]) -> str:
        return f"{terms['issuer']} {terms['shop']}"

    def recipient(self, terms: Mapping[str, Any]) -> str:
        return str(terms["shop"])

    def account_form(self) -> Any:
        return VoucherAccountForm

    def offered(self, account: Account) -> tuple[str, dict[str, Any]]:
        return "voucher", dict(account.terms)

    def network(self, id_: str) -> Network | None:
        return Network(id_, "Test vouchers", testnet=True) if id_ == "vouchers:test" else None

    # Reads

    def pick(self, credential: Credential, offers: Sequence[Offer]) -> Offer | None:
        value = _said(credential)["value"]
        return next((offer for offer in offers if offer.amount == value), None)

    def identities(self, credential: Credential, terms: Sequence[Mapping[str, Any]]) -> list[str]:
        return [f"voucher:{_said(credential)['id']}"]

    def read(self, credential: Credential, offer: Offer, now: float, tolerance: float) -> Claim:
        said = _said(credential)
        if said["value"] != offer.amount:
            raise Refused(Code.WRONG_AMOUNT)
        if said["ends"] < now:
            raise Refused(Code.EXPIRED)
        return Claim(
            identity=f"voucher:{said['id']}",
            amount=said["value"],
            expires_at=datetime.fromtimestamp(said["ends"], UTC),
            payload={"token": credential.payload["token"]},
            network=offer.network,
        )

    def is_worth_asking(self, claim: Claim) -> Steps[bool]:
        return False
        yield

    # Settles

    def facilitators(self, offer: Offer) -> Steps[list[Facilitator]]:
        return [TheIssuer()]
        yield

    def facilitator(self, name: str) -> Facilitator:
        return TheIssuer()

    # Finds

    def can_find(self, network: str) -> bool:
        return True

    def find(self, charge: Charge, clue: Clue) -> Steps[Finding]:
        id_ = charge.identity.removeprefix("voucher:")
        try:
            answer = yield from _ask("GET", f"{clue.terms['issuer']}/vouchers/{id_}")
        except Unreachable as error:
            return Undecided(str(error))
        said = answer.json()
        if said["state"] == "redeemed" and said["shop"] == clue.terms["shop"]:
            proof = {"shop": said["shop"]}
            return Paid(said["reference"], True, said["number"], proof)
        if said["state"] == "redeemed":
            return Spent("redeemed elsewhere", said["reference"], final=True)
        token = issuer.read(charge.payload["token"]) if charge.payload else {"ends": 0}
        return Unspent(never=said["state"] == "void" or token["ends"] < time.time())

    # Refunds

    def sends_refunds(self) -> bool:
        return True

    def check_refund(self, payment: Payment, sent_in: str, sender: str) -> tuple[str, str]:
        return sent_in, sender

    def send_refund(self, refund: Refund, mark: Callable[[str], None]) -> Steps[None]:
        key = str(refund.pk)
        if refund.state == Refund.State.REQUESTED:
            yield from query(mark, f"back-{key}")
        body = {"key": key, "amount": refund.amount, "of": refund.payment.reference}
        yield from _ask("POST", f"{refund.payment.taken_offer.terms['issuer']}/refund", body)

    def look_for_refund(self, refund: Refund) -> Steps[Seen]:
        url = f"{refund.payment.taken_offer.terms['issuer']}/refunds/{refund.pk}"
        answer = yield from _ask("GET", url)
        if answer.status_code == 200:
            return Seen(answer.json()["amount"] == refund.amount, refund.reference, "not so much")
        yield from self.send_refund(refund, lambda _: None)  # the same key: once at most
        return Seen(None)


class TheIssuer:
    """Redeems. Of what it does not answer nobody knows what became."""

    name = "issuer"

    def settle(self, charge: Charge) -> Steps[Settlement]:
        terms = charge.offer.terms
        body = {"token": charge.payload["token"], "shop": terms["shop"]}
        try:
            answer = yield from _ask("POST", f"{terms['issuer']}/redeem", body)
        except Unreachable as error:
            return Unknown(str(error))
        if answer.status_code == 402:
            return Rejected(f"voucher_{answer.json()['why']}")
        if answer.status_code != 200:
            return Unknown(f"status {answer.status_code}")
        return Settled(answer.json()["reference"])

    def verify(self, charge: Charge) -> Steps[Verdict]:
        return Verdict(True)
        yield


class Unfinished(Rail):
    """It says neither what its accounts are nor what they offer."""

    name: ClassVar[str] = "unfinished"


def _said(credential: Credential) -> dict[str, Any]:
    try:
        return issuer.read(credential.payload["token"])
    except ValueError as error:
        raise Refused(Code.BAD_SIGNATURE) from error


def _ask(method: str, url: str, body: Any = None) -> Steps[httpx.Response]:
    try:
        answer = yield from send(Send(method, url, json=body, timeout=TIMEOUT))
    except httpx.HTTPError as error:
        raise Unreachable(type(error).__name__) from error
    if answer.status_code >= 500:
        raise Unreachable(f"status {answer.status_code}")
    return answer
