"""What an account on an EVM chain is: a token, the owner's address there, and how deep is final."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from paywall.rails.base import Unacceptable

from . import networks
from .addresses import ZERO_ADDRESS, checksum
from .tokens import TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paywall.models import Account

RAIL = "evm"
"""As it stands on rows."""

FIXED = frozenset({"asset", "pay_to", "eip712_name", "eip712_version"})
"""What buyers sign."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The `terms` of an account."""

    asset: str
    """The token's contract."""
    pay_to: str
    """The owner's address. Only its key can spend what arrives."""
    eip712_name: str
    """As the token's contract says it."""
    eip712_version: str
    confirmations: int = 12
    """Blocks after which a settled payment counts as final."""
    finalized: bool = False
    """Final is what the chain itself calls finalized, however deep that is."""


def of(account: Account) -> Terms:
    """An account's terms, as they were read when it was saved."""
    return Terms(**account.terms)


def read(network: str, terms: Mapping[str, Any]) -> dict[str, Any]:
    """Terms in one spelling, addresses checksummed. Raises `Unacceptable`."""
    try:
        networks.chain_id(network)
    except ValueError as error:
        raise Unacceptable("network", _("An EVM network in CAIP-2, as eip155:8453.")) from error
    unknown = set(terms) - set(Terms.__slots__)
    if unknown:
        raise Unacceptable("terms", f"Not known: {', '.join(sorted(unknown))}.")
    asset = _address("asset", terms.get("asset"))
    pay_to = _address("pay_to", terms.get("pay_to"))
    if asset == pay_to:
        text = _("This is the token's contract: money sent there is gone.")
        raise Unacceptable("pay_to", text)
    for name in ("eip712_name", "eip712_version"):
        value = terms.get(name)
        if not isinstance(value, str) or not value or len(value) > 100:
            raise Unacceptable(name, _("As the token's contract says it: 100 characters at most."))
    confirmations, finalized = terms.get("confirmations", 12), terms.get("finalized", False)
    if type(confirmations) is not int or not 1 <= confirmations < 2**31:
        raise Unacceptable("confirmations", _("A whole number, 1 at least."))
    if type(finalized) is not bool:
        raise Unacceptable("finalized", "True or False.")
    name, version = str(terms["eip712_name"]), str(terms["eip712_version"])
    return asdict(Terms(asset, pay_to, name, version, confirmations, finalized))


def _address(field: str, value: Any) -> str:
    """40 hex digits; a mixed-case address must have a right EIP-55 checksum."""
    try:
        canonical = checksum(value) if isinstance(value, str) else ""
    except ValueError:
        canonical = ""
    if not canonical:
        raise Unacceptable(field, _("An address is 0x and 40 hex digits."))
    if value != canonical and value not in (value.lower(), "0x" + value[2:].upper()):
        text = _("The address fails its checksum: it was mistyped. Copy it from your wallet again.")
        raise Unacceptable(field, text)
    if canonical == ZERO_ADDRESS:
        raise Unacceptable(field, _("Money sent to the zero address is gone."))
    return canonical


def account_for(token: str, pay_to: str, **fields: Any) -> Account:
    """An account for a well-known token ("usdc-base"), not saved yet. Raises `KeyError`."""
    from paywall.models import Account

    known = TOKENS[token]
    return Account(
        rail=RAIL,
        network=known.network,
        symbol=known.symbol,
        decimals=known.decimals,
        currency=known.currency,
        terms=terms_for(token, pay_to),
        **fields,
    )


def terms_for(token: str, pay_to: str) -> dict[str, Any]:
    """The terms of an account for a well-known token. Raises `KeyError`."""
    known = TOKENS[token]
    return {
        "asset": known.asset,
        "pay_to": pay_to,
        "eip712_name": known.eip712_name,
        "eip712_version": known.eip712_version,
        "confirmations": known.confirmations,
    }
