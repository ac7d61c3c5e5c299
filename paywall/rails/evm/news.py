"""What the owner should know of chains: gas that runs out, and gas that is burnt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone

from paywall import business_days, conf, durable
from paywall.models import Alert, Wallet
from paywall.vocabulary import News

from . import networks
from .gas import burnt_of_late

if TYPE_CHECKING:
    from collections.abc import Iterator


def news() -> Iterator[News]:
    """All of it."""
    yield from _gas()
    yield from _burnt()


def _gas() -> Iterator[News]:
    for wallet in Wallet.objects.using(durable.alias()).order_by("pk"):
        if wallet.is_low and wallet.coins is not None:
            where = networks.title(wallet.network)
            yield News(
                f"gas:{wallet.network}:{wallet.address}:{business_days.today()}",
                Alert.Kind.GAS,
                f"Gas is low on {where}",
                f"{wallet.address} has {wallet.coins:f}. Without gas nothing is settled.",
                {
                    "network": wallet.network,
                    "address": wallet.address,
                    "balance": f"{wallet.coins:f}",
                },
            )


def _burnt() -> Iterator[News]:
    for network, burnt in burnt_of_late().items():
        if burnt >= conf.get().gas_lost_per_hour:
            yield News(
                f"burnt:{network}:{timezone.now():%Y-%m-%d %H}",
                Alert.Kind.CHEATS,
                f"Transactions fail on {networks.title(network)}",
                f"{burnt:f} of the chain's coin went for failed ones within an hour. Until that is "
                "over, nothing is settled there for wallets that never paid here.",
                {"network": network, "burnt": f"{burnt:f}"},
            )
