"""What can be known at start-up to be wrong about chains, nodes and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings as django_settings
from django.core.checks import Error, Warning

from paywall import conf, presets
from paywall.models import Price

from . import networks, supported
from .addresses import ZERO_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.core.checks import CheckMessage

    from paywall.models import Account


def check_settings() -> Iterator[CheckMessage]:
    """The settings, whatever accounts there are."""
    settings = conf.get()
    if None in settings.remotes().values() and not (settings.gas_key and settings.rpc_urls):
        yield Error(
            "The backend “onchain” settles nothing without a key for gas and a node.",
            hint="Set PAYWALL['GAS_KEY'] and 'RPC_URLS', the key from the environment.",
            id="paywall.E006",
        )
    yield from _check_presets()
    for network in settings.rpc_urls:
        try:
            networks.chain_id(network)
        except ValueError as error:
            yield Error(f"PAYWALL['RPC_URLS']: {error}.", id="paywall.E004")
        if any(conf.is_exposed(url) for url in settings.rpc_nodes(network)):
            yield Warning(
                f"A node of {network} is read over http: whoever is between can have "
                "payments confirmed that never were.",
                hint="Use https in PAYWALL['RPC_URLS'].",
                id="paywall.W001",
            )


def _check_presets() -> Iterator[CheckMessage]:
    for name, remote in conf.get().remotes().items():
        if remote is None or remote.sign is None:
            continue
        try:
            remote.headers("settle")
        except ImportError:
            yield Error(
                f"The facilitator {name} signs its requests, and what signs is not installed.",
                hint='pip install "django-paywall[coinbase]"',
                id="paywall.E017",
            )
        except ValueError as error:
            yield Error(
                f"The facilitator {name} cannot sign its requests: {error}",
                hint="Copy KEY_ID and KEY_SECRET from portal.cdp.coinbase.com once more.",
                id="paywall.E017",
            )


def check_account(account: Account) -> Iterator[CheckMessage]:
    """An account that money is taken on."""
    if int(account.terms["pay_to"], 16) == int(ZERO_ADDRESS, 16):
        yield Error(f"{account}: money sent to the zero address is gone.", id="paywall.E010")
    if networks.is_testnet(account.network) and not django_settings.DEBUG:
        yield Warning(
            f"{account}: this is a test network, its money is worth nothing.",
            hint="Disable the account where you sell in earnest.",
            id="paywall.W011",
        )
    remotes = conf.get().remotes_for(account.facilitator_names()).values()
    known = [presets.of_url(remote.url) for remote in remotes if remote is not None]
    is_for_tests = any(one is not None and one.is_for_tests for one in known)
    if is_for_tests and not networks.is_testnet(account.network):
        yield Warning(
            f"{account}: a facilitator that is for test networks alone would have to settle there.",
            hint="Name one for main networks, or settle yourself (docs/running.md).",
            id="paywall.W020",
        )
    if not conf.get().rpc_nodes(account.network):
        yield Warning(
            f"{account}: payments there are never confirmed, since no node is read.",
            hint=f"Set PAYWALL['RPC_URLS']['{account.network}'].",
            id="paywall.W012",
        )
    if supported.nobody_settles_by_use(account) and _is_sold_by_use(account):
        yield Warning(
            f"{account}: what is charged by use is not offered there, since no facilitator says "
            "that it settles so.",
            hint="Name one that settles x402's scheme “upto” in PAYWALL['FACILITATORS'], or settle "
            "yourself (docs/metering.md).",
            id="paywall.W019",
        )


def _is_sold_by_use(account: Account) -> bool:
    prices = Price.objects.filter(resource__by_use=True, resource__active=True)
    return prices.filter(currency=account.currency).exists()
