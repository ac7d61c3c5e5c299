"""What the page's scripts say, in the reader's language.

Placeholders in braces are filled by the script.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from paywall.exceptions import Code

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXTS = {
    # Progress
    "connecting": _("Asking your wallet…"),
    "confirm": _("Confirm the payment in your wallet."),
    "switching": _("Your wallet is asked to switch to {network}."),
    "paying": _("Paying…"),
    "settling": _(
        "Your payment is on its way. This page opens by itself; you can also close it and come "
        "back later in this browser."
    ),
    "offline": _("The connection was lost. The same payment is tried again; you pay once."),
    "resuming": _("You have signed a payment for this page. Looking what became of it…"),
    "again": _("The offer had expired while you were thinking. Please confirm the new one."),
    "opening": _("Paid. Opening…"),
    "sheet": _("Confirm the payment in your browser."),
    "sheet_failed": _("The browser could not open its payment sheet: {reason}"),
    "thanks": _("Thank you. You have paid for this page."),
    "receipt": _("Receipt"),
    "save": _("Open what you bought"),
    "signing": _("Sign the message in your wallet. It costs nothing."),
    # What went wrong, and what to do
    "no_wallet": _(
        "No wallet was found in this browser. Install one, or pay in another way below."
    ),
    "which": _("Which wallet?"),
    "rejected": _("You declined in your wallet. Nothing was paid."),
    "busy": _("Your wallet is waiting for you already: open it and answer there."),
    "wrong_chain": _(
        "Your wallet stayed on another network. Switch it to {network} and try again."
    ),
    "poor": _(
        "This wallet has {has} {symbol} on {network}; {needs} {symbol} are needed. Top it up, "
        "choose another account, or pay in another way."
    ),
    "wallet_failed": _("Your wallet reported an error: {reason}"),
    "not_sold": _("This page is not sold in a way that this wallet can pay."),
    "nothing_taken": _("Nothing was paid."),
    "unavailable": _("Payments cannot be taken at the moment. Nothing was paid; try again later."),
    "view_failed": _("The page could not be made, so nothing was paid. Please try again later."),
    "owed": _("You have paid, and the page could not be made. Try again: you will not pay twice."),
    "used": _("This payment has opened the page already. If it is not there, look at the receipt."),
    "proof": _(
        "This payment was made a while ago. Prove that the wallet is yours to open the page."
    ),
    "refused": _("The payment was refused: {reason}"),
    "poor_late": _("The wallet does not have that much. Nothing was paid."),
    "try_again": _("Try again"),
    "devices": _(
        "What you bought is open on as many devices as it may be. Close it on another one first."
    ),
    "no_pass": _("Nothing was found that this wallet has paid for here."),
}


WALLET = {
    "new_title": _("A wallet on this device"),
    "new_text": _(
        "Its key is made here and stays here. Top it up with a little money, and pay pages with a "
        "touch."
    ),
    "create_passkey": _("Make it, with a passkey"),
    "or_passphrase": _("With a passphrase instead"),
    "create_passphrase": _("Make it, with this passphrase"),
    "passphrase": _("Passphrase"),
    "short_passphrase": _("Ten characters at least: whoever has this device could try them all."),
    "wrong_passphrase": _("That is not the passphrase."),
    "no_prf": _("This passkey cannot keep a key. Use a passphrase instead."),
    "passkey_declined": _("The passkey was not given. Nothing was paid."),
    "asks": _("{origin} asks to be paid for “{what}”."),
    "pay": _("Pay"),
    "decline": _("Decline"),
    "cannot_pay": _("This wallet has no money that this page takes."),
    "poor": _("There are {has} {symbol}; {needs} {symbol} are needed. Top it up below."),
    "balance": _("Balance"),
    "testnet": _("test network"),
    "top_up": _("Top up"),
    "top_up_text": _("Scan the code with another wallet, or send to the address above."),
    "qr": _("QR code of the wallet's address"),
    "limits": _("Limits"),
    "limit_site_label": _("A day, for one site"),
    "limit_day_label": _("A day, in all"),
    "limit_site": _("That is more than {limit} a day for this site. Raise the limit below first."),
    "limit_day": _("That is more than {limit} a day in all. Raise the limit below first."),
    "no_amount": _("An amount is a number, as 5.00."),
    "save": _("Save"),
    "saved": _("Saved."),
    "export": _("Take the key away"),
    "export_text": _("Whoever has the key has the money. Keep it to yourself."),
    "show_key": _("Show the key"),
}
"""What the payment handler's wallet says."""

PAGES = {
    Code.SETTLEMENT_PENDING: _(
        "Your payment is on its way. This page opens as soon as it has arrived; you need not pay "
        "again."
    ),
    Code.TO_BE_OPENED: _("You have paid for this page, and can open it once."),
    Code.TOO_MANY_DEVICES: _(
        "What you bought is open on as many devices as it may be. Close it on another one first."
    ),
}
"""What a person is told instead of an offer."""

FAILURES = {
    "insufficient_funds": _("There is not enough money on this card. Nothing was charged."),
    "expired_card": _("This card has expired. Nothing was charged."),
    "incorrect_cvc": _("The card's security code is not right. Nothing was charged."),
    "incorrect_number": _("The card's number is not right. Nothing was charged."),
    "authentication_required": _(
        "Your bank wants you to confirm the payment. Nothing was charged so far."
    ),
}
"""What a person is told of a payment that failed, by decline code or code."""

RETRIES = {
    "same": _("The payment failed. Nothing was charged; check what you typed, and try again."),
    "other_method": _("Your payment was declined. Nothing was charged; pay in another way."),
    "later": _("The payment failed for the moment. Nothing was charged; try again later."),
    "never": _("The payment failed. Nothing was charged."),
}
"""The same, by whether to try again."""

OTHERWISE = _("Payments cannot be taken at the moment. Nothing was paid; try again later.")


def of_failure(code: str, decline_code: str, retry: str) -> str:
    """A sentence about a payment that failed, in the language of the request."""
    return str(FAILURES.get(decline_code) or FAILURES.get(code) or RETRIES[retry])


def told(texts: Mapping[str, Any]) -> dict[str, str]:
    """A script's texts, in the language of the request."""
    return {name: str(text) for name, text in texts.items()}
