"""What gas costs, who pays for it, and what of it is lost."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from django.db.models import Q
from django.utils import timezone

from paywall import conf, durable
from paywall.effects import query
from paywall.models import Tally, Transaction, Wallet
from paywall.rails.base import Unreachable

from . import nodes, transactions
from .transactions import GWEI, Fees

if TYPE_CHECKING:
    from paywall.effects import Steps
    from paywall.secret import Secret

    from .rpc import Node

log = logging.getLogger(__name__)

BALANCE_BELIEVED_FOR = timedelta(seconds=30)
BALANCE_WATCHED_EVERY = timedelta(minutes=5)

BURNT_COUNTS_FOR = timedelta(hours=1)
"""For so long a payer whose transaction failed is not settled for again, and its cost counts."""


class NotSent(Unreachable):
    """Certain: nothing was written and nothing was sent."""


def price_of_gas(network: str, key: Secret, gas: int) -> Steps[int]:
    """What a unit of gas will cost at most, in wei, for a wallet that can pay for so much of it.

    Raises `NodeError`; `NotSent` beyond the ceiling, or if it cannot.
    """
    node = nodes.of(network)
    if node is None:
        raise NotSent(f"PAYWALL['RPC_URLS'] has no {network}")
    most = (yield from fees_now(node)).most
    yield from require_gas(node, network, transactions.wallet(key).address, gas * most)
    return most


def note_burnt(payer: str) -> None:
    """A transaction for a payer failed, at our cost: it is not settled for again for a while."""
    _note_burnt(payer, timezone.now() + BURNT_COUNTS_FOR)


@durable.write
def _note_burnt(payer: str, until: datetime) -> None:
    scope = f"burnt {payer}"
    Tally.objects.using(durable.alias()).update_or_create(
        scope=scope, defaults={"count": 1, "ends_at": until}
    )


def is_burning(payer: str) -> bool:
    """Whether a transaction for that payer failed of late."""
    rows = Tally.objects.using(durable.alias()).filter(scope=f"burnt {payer}")
    return rows.filter(ends_at__gt=timezone.now()).exists()


def burnt_of_late() -> dict[str, Decimal]:
    """What failed transactions cost within an hour, in each network's coin."""
    since = timezone.now() - BURNT_COUNTS_FOR
    rows = Transaction.objects.using(durable.alias()).filter(
        state=Transaction.State.MINED, created_at__gt=since, succeeded=False
    )
    found: dict[str, Decimal] = {}
    for transaction in rows.select_related("wallet"):
        network = transaction.wallet.network
        found[network] = found.get(network, Decimal(0)) + (transaction.fee or Decimal(0))
    return found


def watch_gas() -> Steps[None]:
    """Read the balances that nobody read for a while, so that an idle wallet is noticed too.

    Raises `NodeError`.
    """
    stale = timezone.now() - BALANCE_WATCHED_EVERY
    for wallet in (yield from query(_unwatched, stale)):
        node = nodes.of(wallet.network)
        if node is not None and key_of(wallet) is not None:
            balance = yield from node.coins(wallet.address)
            yield from query(_note_balance, wallet.network, wallet.address, balance)


def _unwatched(since: datetime) -> list[Wallet]:
    wallets = Wallet.objects.using(durable.alias())
    return list(wallets.filter(Q(balance_at=None) | Q(balance_at__lt=since)))


def fees_now(node: Node) -> Steps[Fees]:
    """What a transaction offers now. Raises `NodeError`, `NotSent` beyond the ceiling."""
    base, tip = yield from node.fees()
    most = ceiling()
    if base > most:
        raise NotSent(f"gas costs {base / GWEI:.3f} gwei, beyond the ceiling of {most / GWEI:.3f}")
    return Fees.now(base, tip, most)


def ceiling() -> int:
    return int(conf.get().gas_price_ceiling * GWEI)


def require_gas(node: Node, network: str, address: str, cost: int) -> Steps[None]:
    """Raise `NotSent` if the wallet cannot pay; the balance is read now and then."""
    balance = yield from query(_known_balance, network, address)
    if balance is None:
        balance = yield from node.coins(address)
        yield from query(_note_balance, network, address, balance)
    if balance < cost:
        raise NotSent(f"the wallet {address} has too little to pay for gas")


def _known_balance(network: str, address: str) -> int | None:
    fresh = timezone.now() - BALANCE_BELIEVED_FOR
    wallet = (
        Wallet.objects.using(durable.alias())
        .filter(network=network, address=address, balance_at__gt=fresh)
        .first()
    )
    return int(wallet.balance) if wallet else None


@durable.write
def _note_balance(network: str, address: str, balance: int) -> None:
    wallets = Wallet.objects.using(durable.alias())
    wallet, _ = wallets.update_or_create(
        network=network,
        address=address,
        defaults={"balance": str(balance), "balance_at": timezone.now()},
    )
    if wallet.is_low:
        log.error("The wallet %s on %s is low on gas: %.6f left", address, network, wallet.coins)


def key_of(wallet: Wallet) -> Secret | None:
    """The key of a wallet, if the settings have it."""
    settings = conf.get()
    for key in (settings.gas_key, settings.treasury_key):
        if key and transactions.wallet(key).address == wallet.address:
            return key
    return None
