"""Can money move on the accounts? Asked of their nodes, tokens and who settles for them."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from eth_utils.crypto import keccak

from paywall import conf
from paywall.effects import run
from paywall.findings import Finding, fail, note, ok
from paywall.protocols.x402 import v1_names

from . import eip3009, networks, nodes, supported, terms, transactions
from .rpc import NodeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from paywall.models import Account

    from .rpc import Node

DOMAIN_SEPARATOR = "0x" + keccak(text="DOMAIN_SEPARATOR()")[:4].hex()

SKEW = 30
"""Seconds by which a block may be younger than our clock says it is."""
LATE = 300
"""Seconds after which a chain's newest block is an old one."""
PATIENCE = 10.0
"""Seconds for which a facilitator's answer is waited for."""


def examine(accounts: Sequence[Account]) -> Iterator[Finding]:
    """All that stops money there. Asks over the network, each party once; never raises."""
    on: dict[str, list[Account]] = {}
    settle_on: dict[str, dict[str, None]] = {}
    for account in accounts:
        on.setdefault(account.network, []).append(account)
        for name in conf.get().remotes_for(account.facilitator_names()):
            settle_on.setdefault(name, {})[account.network] = None
    for network, its in on.items():
        yield from _network(network, its)
    for name, wanted in settle_on.items():
        remote = conf.get().remotes()[name]
        if remote is not None:
            yield from _remote(name, remote, wanted)
            continue
        for network in wanted:
            yield from _own(network)


def _network(network: str, accounts: Sequence[Account]) -> Iterator[Finding]:
    where, node = networks.title(network), nodes.of(network)
    if node is None:
        yield fail(
            f"{where}: no node is read, so nothing is ever confirmed",
            f"Set PAYWALL['RPC_URLS']['{network}'].",
        )
        return
    try:
        yield from _node(network, node)
        for account in accounts:
            yield from _token(account, node)
    except NodeError as error:
        yield fail(
            f"{where}: the node does not answer: {error}",
            "Try its URL by hand; a second one in PAYWALL['RPC_URLS'] takes over.",
        )


def _node(network: str, node: Node) -> Iterator[Finding]:
    """Raises `NodeError`."""
    where, wanted = networks.title(network), networks.chain_id(network)
    found = run(node.chain_id())
    if found != wanted:
        todo = f"Name a node of chain {wanted} in PAYWALL['RPC_URLS']['{network}']."
        yield fail(f"{where}: the node is of another chain, {found}", todo)
        return
    head = run(node.block("latest"))
    ahead = head.timestamp - time.time()
    if ahead > SKEW:
        todo = "Set this machine's clock (NTP): signed times are measured by it."
        yield fail(f"{where}: the newest block is {ahead:.0f} s in our future", todo)
    elif ahead < -LATE:
        todo = "The node lags, the chain stands still, or this machine's clock is ahead."
        yield note(f"{where}: the newest block is {-ahead:.0f} s old", todo)
    else:
        yield ok(f"{where}: the node is at block {head.number}")


def _token(account: Account, node: Node) -> Iterator[Finding]:
    """Raises `NodeError`."""
    its = terms.of(account)
    if not run(node.is_token(its.asset)):
        todo = "Add an account with the right address, and disable this one."
        yield fail(f"{account}: no token is at {its.asset}", todo)
        return
    chain_id = networks.chain_id(account.network)
    domain = eip3009.domain_separator(its.eip712_name, its.eip712_version, chain_id, its.asset)
    said = run(node.eth_call(its.asset, DOMAIN_SEPARATOR))
    if said.lower() == "0x" + domain.hex():
        yield ok(f"{account}: the token's name and version are right")
    else:
        todo = (
            "What buyers sign is not what the token checks: every payment fails. Add an account "
            "with the name and version that the contract says (EIP-712)."
        )
        name = f"{its.eip712_name!r}, version {its.eip712_version!r}"
        yield fail(f"{account}: the token does not call itself {name}", todo)


def _own(network: str) -> Iterator[Finding]:
    """The site settles for itself."""
    key, node = conf.get().gas_key, nodes.of(network)
    if node is None or not key:
        return
    where, address = networks.title(network), transactions.wallet(key).address
    try:
        coins = Decimal(run(node.coins(address))).scaleb(-18)
    except NodeError:
        return  # said already
    if coins < conf.get().gas_low:
        todo = f"Send some to {address}."
        yield fail(f"{where}: {coins:.6f} is left for gas", todo)
    else:
        yield ok(f"{where}: {coins:.4f} is left for gas")


def _remote(name: str, remote: conf.Remote, wanted: Iterable[str]) -> Iterator[Finding]:
    try:
        settles = supported.ask(remote, PATIENCE, _kinds)
    except supported.Unsaid as trouble:
        todo = "Its URL, and its key if it wants one: PAYWALL['FACILITATORS'] or FACILITATOR_URL."
        yield fail(f"the facilitator {name} does not say what it settles: {trouble}", todo)
        return
    for network in wanted:
        where = networks.title(network)
        if {("exact", network), ("exact", v1_names.name(network))} & settles:
            yield ok(f"the facilitator {name} settles on {where}")
        else:
            todo = "Choose one that does (docs/running.md), or settle yourself: GAS_KEY."
            yield fail(f"the facilitator {name} does not settle on {where}", todo)


def _kinds(told: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Schemes and networks."""
    return {(str(kind["scheme"]), str(kind["network"])) for kind in told["kinds"]}
