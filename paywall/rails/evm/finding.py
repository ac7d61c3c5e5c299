"""What the chain shows of a payment, asked one by one. What speaks against it, enough nodes say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paywall import conf
from paywall.vocabulary import Finding, Paid, Undecided

from . import nodes, plain, schemes
from .evidence import Depth
from .rpc import NodeError
from .terms import Terms

if TYPE_CHECKING:
    from paywall.effects import Steps
    from paywall.vocabulary import Charge, Clue

    from .rpc import Node


def find(charge: Charge, clue: Clue) -> Steps[Finding]:
    """What the chain shows of a charge. Never raises."""
    node = nodes.of(charge.offer.network)
    if node is None:
        return Undecided("no RPC URL for this network")
    try:
        deep = yield from depth(Terms(**clue.terms), node)
    except NodeError as error:
        return Undecided(str(error))
    where = Depth(clue.since, deep, clue.reference, conf.get().log_range)
    finding = yield from _ask(charge, node, where)
    if isinstance(finding, Paid | Undecided) or len(node.urls) == 1:
        return finding
    agreeing, singles = 0, node.each()
    for single in singles:
        other = yield from _ask(charge, single, where)
        if isinstance(other, Paid):
            return Undecided("the nodes disagree: one says that it is paid")
        agreeing += other == finding
    if agreeing >= min(conf.get().rpc_quorum, len(singles)):
        return finding
    return Undecided("not enough nodes say the same")


def depth(terms: Terms, node: Node) -> Steps[int]:
    """How many blocks, its own included, make a transaction final for an account.

    Raises `NodeError`.
    """
    if terms.finalized:
        return (yield from node.depth_of_finality())
    return terms.confirmations


def _ask(charge: Charge, node: Node, where: Depth) -> Steps[Finding]:
    if charge.offer.scheme == plain.SCHEME:
        return (yield from plain.find(charge, node, where))
    scheme = schemes.named(charge.offer.scheme)
    return (yield from scheme.find(charge.payload, charge.wanted, node, where))
