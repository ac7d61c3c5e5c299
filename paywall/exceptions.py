"""What can go wrong, each with a stable code for the buyer and a message for the operator."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """The `code` member of every refusal. x402's own error codes where it has one.

    Public and stable: `docs/reference/errors.md` lists them all, and a test keeps it so.
    """

    # 402: pay, or pay otherwise
    PAYMENT_REQUIRED = "payment_required"
    UNSUPPORTED_SCHEME = "unsupported_scheme"
    NO_MATCHING_OFFER = "invalid_payment_requirements"
    RESOURCE_MISMATCH = "resource_mismatch"
    INVALID_CHALLENGE = "invalid_challenge"
    BAD_SIGNATURE = "invalid_exact_evm_payload_signature"
    WRONG_RECIPIENT = "invalid_exact_evm_payload_recipient_mismatch"
    WRONG_AMOUNT = "invalid_exact_evm_payload_authorization_value_mismatch"
    VALID_TOO_LONG = "authorization_valid_too_long"
    EXPIRED = "invalid_exact_evm_payload_authorization_valid_before"
    NOT_YET_VALID = "invalid_exact_evm_payload_authorization_valid_after"
    VERIFICATION_FAILED = "verification_failed"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    BALANCE_TOO_LOW = "balance_too_low"
    SETTLEMENT_REFUSED = "settlement_refused"
    PAYMENT_FAILED = "payment_failed"
    PAYMENT_LOST = "payment_lost"
    ABOVE_PRICE_LIMIT = "above_price_limit"
    LICENSE_INVALID = "license_invalid"

    # 403 and 409, without an offer: who paid already is not asked to pay again
    CONFLICT = "idempotency_conflict"
    ALREADY_USED = "payment_already_used"
    PROOF_REQUIRED = "wallet_proof_required"
    TOO_MANY_DEVICES = "too_many_devices"
    TO_BE_OPENED = "open_it_here"
    NOT_ALLOWED = "not_allowed"
    BOT_REFUSED = "bot_refused"
    LICENSE_ELSEWHERE = "license_of_something_else"

    # 400: not a credential at all
    INVALID_PAYLOAD = "invalid_payload"
    INVALID_VERSION = "invalid_x402_version"
    AMBIGUOUS_CREDENTIAL = "ambiguous_credential"
    CREDENTIAL_TOO_LARGE = "credential_too_large"
    IDENTIFIER_REQUIRED = "payment_identifier_required"

    BAD_BOT_SIGNATURE = "bad_bot_signature"
    PRICE_LIMIT_INVALID = "price_limit_invalid"

    # 405: the path is sold, but not for this method
    METHOD_NOT_SOLD = "method_not_sold"

    # 429: come back later
    TOO_MANY_REQUESTS = "too_many_requests"
    BOT_SIGNATURE_USED = "bot_signature_used"
    TOO_BUSY = "too_busy"

    # 503: our side; nothing is asked of the buyer but to come back
    SETTLEMENT_PENDING = "settlement_pending"
    FACILITATOR_UNAVAILABLE = "facilitator_unavailable"
    NOT_FOR_SALE = "not_for_sale"
    UNAVAILABLE = "paywall_unavailable"

    # written on payments, never sent on its own
    VIEW_FAILED = "view_failed"
    NOTHING_DELIVERED = "nothing_delivered"
    PAYER_REVERTED = "payer_reverted_lately"
    ABANDONED = "abandoned"
    REVERTED = "transaction_reverted"
    NEVER_SETTLED = "never_settled"
    SPENT_ELSEWHERE = "authorization_spent_elsewhere"
    NOTHING_MOVED = "nothing_moved"
    DISPUTE_LOST = "dispute_lost"


SENTENCES: dict[Code, str] = {
    Code.CONFLICT: "The same payment was asked for with other words. Nothing was charged again.",
    Code.PAYMENT_REQUIRED: "Payment is required to access this resource.",
    Code.UNSUPPORTED_SCHEME: "This resource is not sold under that payment scheme.",
    Code.NO_MATCHING_OFFER: "The payment matches none of the offers for this resource.",
    Code.RESOURCE_MISMATCH: "The payment was made for another URL, method or offer.",
    Code.INVALID_CHALLENGE: "The payment answers a challenge that is not ours.",
    Code.BAD_SIGNATURE: "The signature is not the payer's.",
    Code.WRONG_RECIPIENT: "The payment goes to another recipient.",
    Code.WRONG_AMOUNT: "The payment is of another amount.",
    Code.VALID_TOO_LONG: "The authorization is valid for longer than the offer allows.",
    Code.EXPIRED: "The authorization has expired.",
    Code.NOT_YET_VALID: "The authorization is not valid yet.",
    Code.VERIFICATION_FAILED: "The facilitator did not find the payment valid.",
    Code.INSUFFICIENT_FUNDS: "The payer does not have that much. Nothing was charged.",
    Code.BALANCE_TOO_LOW: "There is not so much on a balance of yours here. Nothing was taken.",
    Code.SETTLEMENT_REFUSED: "The payment could not be settled. Nothing was charged.",
    Code.ALREADY_USED: "This payment has been used: what it bought was delivered.",
    Code.PROOF_REQUIRED: (
        "This payment was made a while ago. Sign in with its wallet (SIGN-IN-WITH-X), or come with "
        "the browser that paid, to collect what it bought."
    ),
    Code.TOO_MANY_DEVICES: (
        "This pass is open on as many devices as it may be. Close it on another one first."
    ),
    Code.NOT_ALLOWED: "This is not sold to you. Nothing was charged.",
    Code.TO_BE_OPENED: "You have paid for this page, and can open it once.",
    Code.PAYMENT_FAILED: "This payment failed earlier. Nothing was charged; sign a new one.",
    Code.PAYMENT_LOST: "This payment did not stay on the chain.",
    Code.INVALID_PAYLOAD: "The payment header is not a well-formed payment payload.",
    Code.INVALID_VERSION: "The payment header's x402Version is not one this header can carry.",
    Code.AMBIGUOUS_CREDENTIAL: "Send one payment header, once.",
    Code.CREDENTIAL_TOO_LARGE: "The payment header is too large.",
    Code.IDENTIFIER_REQUIRED: (
        "Send an id of your own with the payment, as the extension payment-identifier says."
    ),
    Code.BAD_BOT_SIGNATURE: "The signature of this request (Web Bot Auth) is not good.",
    Code.BOT_SIGNATURE_USED: (
        "This signature (Web Bot Auth) was used before: its nonce is good for one request."
    ),
    Code.LICENSE_INVALID: "The license token is not good, or is used up: get another one, or pay.",
    Code.LICENSE_ELSEWHERE: "The license token is for something else.",
    Code.TOO_BUSY: "Very many ask at the moment. Ask again later; who pays is let through.",
    Code.BOT_REFUSED: "This site does not let this bot in. Nothing was charged.",
    Code.PRICE_LIMIT_INVALID: (
        "Send crawler-max-price or crawler-exact-price, one of them, once: USD 0.01."
    ),
    Code.ABOVE_PRICE_LIMIT: (
        "This costs something else than crawler-max-price or crawler-exact-price allows. Nothing "
        "was charged."
    ),
    Code.METHOD_NOT_SOLD: "This path is not sold for that method.",
    Code.TOO_MANY_REQUESTS: "Too many payments from here could not be paid. Try again later.",
    Code.SETTLEMENT_PENDING: (
        "The payment's outcome is not known yet. Do not pay again: "
        "send the same payment once more after a while."
    ),
    Code.FACILITATOR_UNAVAILABLE: (
        "Payments cannot be taken at the moment. Nothing was charged; try again later."
    ),
    Code.NOT_FOR_SALE: "This resource cannot be sold at the moment.",
    Code.UNAVAILABLE: "Payments cannot be taken at the moment. Nothing was charged; try again.",
    Code.VIEW_FAILED: "The resource failed, so the payment was not taken.",
    Code.NOTHING_DELIVERED: "The view sent the buyer elsewhere, so the payment was not taken.",
    Code.PAYER_REVERTED: "A transaction for this wallet failed of late: it is not tried again.",
    Code.ABANDONED: "The request ended before the payment was sent.",
    Code.REVERTED: "The transaction reverted: nothing moved.",
    Code.NEVER_SETTLED: "The authorization expired unused.",
    Code.SPENT_ELSEWHERE: "The authorization was cancelled or used for something else.",
    Code.NOTHING_MOVED: "The transaction named by the facilitator moved no money to us.",
    Code.DISPUTE_LOST: "The payer's bank took the money back.",
}


class PaywallError(Exception):
    """Base of all that the paywall raises."""


class NotForSale(PaywallError):
    """The resource is missing, inactive, or has no offer: 503, never the content.

    The message is for the operator's log, and in DEBUG for who looks at the page; the buyer only
    learns `not_for_sale`. `resource_id` is the Resource's, where there is one.
    """

    def __init__(self, message: str, resource_id: int | None = None) -> None:
        super().__init__(message)
        self.resource_id = resource_id


class NobodySettles(NotForSale):
    """The resource is charged by use, and nobody who settles so is known: 503 as well."""


class UsageNotTold(PaywallError):
    """A view that is charged by use did not say what it used: it failed, and nothing is taken."""


class Refused(PaywallError):
    """The credential is not accepted. Nothing was charged by this request.

    `code` and `detail` go to the buyer; `status` is 402; 400 for what is no credential; 403 or 409
    for who has paid and must not be asked to pay again.
    """

    def __init__(
        self,
        code: Code,
        detail: str = "",
        *,
        status: int = 402,
        reference: str = "",
        receipt: str = "",
    ) -> None:
        self.code = code
        self.detail = detail or SENTENCES[code]
        self.status = status
        self.reference = reference
        self.receipt = receipt
        super().__init__(f"{self.code}: {self.detail}")


def malformed(why: str, *, status: int = 400) -> Refused:
    """What is no well-formed payment; `why` says which part of it, not what that holds."""
    usual = SENTENCES[Code.INVALID_PAYLOAD].removesuffix(".")
    return Refused(Code.INVALID_PAYLOAD, f"{usual}: {why}.", status=status)


class Retry(StrEnum):
    """Whether it makes sense to pay again, and how."""

    SAME = "same"
    """The same way, with what was wrong put right."""
    OTHER_METHOD = "other_method"
    LATER = "later"
    NEVER = "never"


_RETRIES = {
    Code.INSUFFICIENT_FUNDS: Retry.OTHER_METHOD,
    Code.BALANCE_TOO_LOW: Retry.OTHER_METHOD,
    Code.UNSUPPORTED_SCHEME: Retry.OTHER_METHOD,
    Code.NOT_YET_VALID: Retry.LATER,
}


def retry_of(code: str, status: int) -> Retry:
    """Whether to pay again after a refusal of ours. Who has paid is not to (403, 409)."""
    if status in (403, 409):
        return Retry.NEVER
    if status in (429, 503):
        return Retry.LATER
    return _RETRIES.get(Code(code), Retry.SAME)


HIDDEN = frozenset({"lost_card", "stolen_card", "fraudulent", "pickup_card", "merchant_blacklist"})
"""Reasons of a bank that no buyer is told: whoever has found a card learns nothing."""

GENERIC = "generic_decline"


class PaymentFailed(PaywallError):
    """An attempt to pay failed, and nothing was charged: 402 (MDN's "payment failed").

    For a site's own code too: raise it in a view behind `@maps_payment_errors` or
    `PaywallMiddleware`. `code` and `decline_code` are the stable names of what happened, as Stripe
    has them; reasons in `HIDDEN` become `generic_decline`. With `resource`, a slug, the answer has
    that resource's offers; `detail` is a sentence for the buyer, by default one that fits.
    """

    def __init__(
        self,
        code: str = "payment_failed",
        *,
        decline_code: str = "",
        retry: Retry | str = Retry.OTHER_METHOD,
        resource: str = "",
        detail: str = "",
    ) -> None:
        self.code = code
        self.decline_code = GENERIC if decline_code in HIDDEN else decline_code
        self.retry = Retry(retry)
        self.resource = resource
        self.detail = detail
        super().__init__(f"{code} {self.decline_code}".strip())


class Unavailable(PaywallError):
    """Not now: 503 for our fault or our facilitator's, 429 for who tries too often; with
    Retry-After and no new challenge."""

    def __init__(
        self, code: Code, detail: str = "", *, reference: str = "", status: int = 503
    ) -> None:
        self.status = status
        self.code = code
        self.detail = detail or SENTENCES[code]
        self.reference = reference
        super().__init__(f"{code}: {self.detail}")


class StaleMove(PaywallError):
    """A payment was not in the state that a move starts from: somebody else moved it."""


class LedgerUnavailable(PaywallError):
    """The database did not take what the ledger had to write."""
