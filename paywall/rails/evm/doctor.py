"""Can money move on an account? Asked of its node, its token and who settles for it."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
from eth_utils.crypto import keccak

from paywall import conf
from paywall.effects import Send, run, send
from paywall.findings import Finding, fail, note, ok
from paywall.protocols.x402 import v1_names

from . import eip3009, networks, nodes, terms, transactions
from .rpc import NodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paywall.models import Account

    from .rpc import Node

DOMAIN_SEPARATOR = "0x" + keccak(text="DOMAIN_SEPARATOR()")[:4].hex()

SKEW = 30
"""Seconds by which a block may be younger than our clock says it is."""
LATE = 300
"""Seconds after which a chain's newest block is an old one."""


def examine(account: Account) -> Iterator[Finding]:
    """All that stops money there. Asks over the network; never raises."""
    node = nodes.of(account.network)
    if node is None:
        yield fail(
            f"{account}: no node is read, so nothing is ever confirmed",
            f"Set PAYWALL['RPC_URLS']['{account.network}'].",
        )
    else:
        try:
            yield from _node(account, node)
        except NodeError as error:
            yield fail(
                f"{networks.title(account.network)}: the node does not answer: {error}",
                "Try its URL by hand; a second one in PAYWALL['RPC_URLS'] takes over.",
            )
    for name, remote in conf.get().remotes().items():
        if remote is None:
            yield from _own(account, node)
        else:
            yield from _remote(account, name, remote)


def _node(account: Account, node: Node) -> Iterator[Finding]:
    """Raises `NodeError`."""
    where, wanted = networks.title(account.network), networks.chain_id(account.network)
    found = run(node.chain_id())
    if found != wanted:
        todo = f"Name a node of chain {wanted} in PAYWALL['RPC_URLS']['{account.network}']."
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
    yield from _token(account, node)


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


def _own(account: Account, node: Node | None) -> Iterator[Finding]:
    """The site settles for itself."""
    key = conf.get().gas_key
    if node is None or not key:
        return
    where, address = networks.title(account.network), transactions.wallet(key).address
    try:
        coins = Decimal(run(node.coins(address))).scaleb(-18)
    except NodeError:
        return  # said already
    if coins < conf.get().gas_low:
        todo = f"Send some to {address}."
        yield fail(f"{where}: {coins:.6f} is left for gas", todo)
    else:
        yield ok(f"{where}: {coins:.4f} is left for gas")


def _remote(account: Account, name: str, remote: conf.Remote) -> Iterator[Finding]:
    url = f"{remote.url.rstrip('/')}/supported"
    try:
        timeout = httpx.Timeout(10.0)
        answer = run(send(Send("GET", url, timeout, headers=remote.headers("supported"))))
        kinds = answer.raise_for_status().json()["kinds"]
        settles = {(str(kind["scheme"]), str(kind["network"])) for kind in kinds}
    except Exception as error:
        # Also the site's own hook for the headers, which can fail in any way.
        what = _told(error)
        todo = "Its URL, and its key if it wants one: PAYWALL['FACILITATORS'] or FACILITATOR_URL."
        yield fail(f"the facilitator {name} does not say what it settles: {what}", todo)
        return
    where = networks.title(account.network)
    if {("exact", account.network), ("exact", v1_names.name(account.network))} & settles:
        yield ok(f"the facilitator {name} settles on {where}")
    else:
        todo = "Choose one that does (docs/running.md), or settle yourself: GAS_KEY."
        yield fail(f"the facilitator {name} does not settle on {where}", todo)


def _told(error: Exception) -> str:
    """What went wrong, without URLs: keys stand in some."""
    response: Any = getattr(error, "response", None)
    status = f" {response.status_code}" if response is not None else ""
    return f"{type(error).__name__}{status}"
