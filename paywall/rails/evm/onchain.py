"""The site as its own facilitator: with a node and a key that pays for gas, no third party.

Plain authorizations go onto the chain by one call each, or many in one transaction through
Multicall3, where each may fail alone. What takes more (Permit2, wallets that are not deployed
yet) the official package turns into calls.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from paywall import crashpoints, durable
from paywall.effects import query
from paywall.exceptions import Code
from paywall.memory import Bounded
from paywall.models import Payment, Transaction
from paywall.models.literals import one_of
from paywall.models.payments import PAID
from paywall.rails.evm import nodes, own_transactions, schemes, transactions
from paywall.rails.evm.gas import NotSent, burnt_of_late, is_burning, note_burnt, price_of_gas
from paywall.rails.evm.rpc import NodeError, Reverted
from paywall.vocabulary import Charge, Rejected, Settled, Settlement, Unknown, Verdict

if TYPE_CHECKING:
    from paywall.conf import Settings
    from paywall.effects import Steps
    from paywall.rails.evm.rpc import Node, TransactionReceipt

log = logging.getLogger(__name__)

_REASONS = (
    ("expired", "invalid_exact_evm_payload_authorization_valid_before"),
    ("not yet valid", "invalid_exact_evm_payload_authorization_valid_after"),
    ("exceeds balance", "insufficient_funds"),
    ("invalid signature", "invalid_exact_evm_payload_signature"),
)
"""What tokens say when they refuse, and what x402 calls that."""

_USED = re.compile(r"\bused\b|alreadyused|usedorcancel")


class OnchainFacilitator:
    """Settles by transactions of its own wallet."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self._settings = settings

    def settle(self, charge: Charge) -> Steps[Settlement]:
        """One transaction for one authorization, waited for as long as a remote one would be."""
        network = charge.offer.network
        node = nodes.of(network)
        if node is None or not self._settings.gas_key:
            return _ours("there is no node" if node is None else "there is no gas key")
        known = yield from query(own_transactions.carrying, charge.identity)
        try:
            transaction = yield from self._on_its_way(charge, known)
        except NodeError as error:
            return Unknown(str(error))
        if transaction is None:
            newest = known.pk if known is not None else 0
            try:
                yield from self._require_good_standing(charge, node)
                to, data, gas = yield from self._prepare(charge, node)
                transaction = yield from own_transactions.write(
                    self._settings.gas_key, network, to, data, gas, [charge.identity], newest=newest
                )
            except _Refused as refused:
                return refused.settlement
            except NotSent as error:
                return _ours(str(error))
            except own_transactions.AlreadyCarried:
                transaction = yield from query(own_transactions.carrying, charge.identity)
                if transaction is None:
                    return Unknown("somebody else is settling it")
        yield from own_transactions.send(transaction)
        return (yield from self._await(charge, transaction))

    def _require_good_standing(self, charge: Charge, node: Node) -> Steps[None]:
        """Raise `_Refused` for payers whose transactions fail at our cost, and where too much was
        lost so, for all who never paid here."""
        if (yield from query(is_burning, charge.payer)):
            try:
                is_contract = yield from node.has_code(charge.payer)
            except NodeError as error:
                raise _Refused(_ours(str(error))) from error
            if is_contract:
                # Its code decides anew each time: what failed once can be made to fail for ever.
                raise _Refused(Rejected(Code.PAYER_REVERTED))
            raise _Refused(Unknown("it waits: a transaction for this payer failed of late"))
        burnt = (yield from query(burnt_of_late)).get(charge.offer.network, 0)
        if burnt >= self._settings.gas_lost_per_hour and not (
            yield from query(_has_paid, charge.payer)
        ):
            raise _Refused(_ours("too much gas went for failed transactions within an hour"))

    def _on_its_way(
        self, charge: Charge, transaction: Transaction | None
    ) -> Steps[Transaction | None]:
        """The newest transaction that carries it already, unless that came to nothing.

        Raises `NodeError`.
        """
        if transaction is None or transaction.state == Transaction.State.SIGNED:
            return transaction
        receipt = yield from own_transactions.find_receipt(transaction)
        if receipt is not None:
            return transaction if paid_in(charge, receipt) else None
        yield from query(own_transactions.reopen, transaction)
        return transaction

    def verify(self, charge: Charge) -> Steps[Verdict]:
        """By the official package, which simulates."""
        if nodes.of(charge.offer.network) is None or not self._settings.gas_key:
            return Verdict(None, "no node or no gas key")
        from . import official

        try:
            return (yield from query(official.verify, charge, self._settings))
        except Exception as error:
            return Verdict(None, f"could not be verified ({type(error).__name__})")

    def can_carry(self, charge: Charge) -> Steps[bool]:
        """Whether it can go into one transaction with others: a plain key's, at whose address no
        code lives. A contract could use up the gas of all of them. Raises `NodeError`."""
        node = nodes.of(charge.offer.network)
        call = schemes.named(charge.offer.scheme).call(charge.payload, charge.offer)
        if node is None or call is None or not schemes.is_plain(charge.payload):
            return False
        key, now = (charge.offer.network, charge.payer), time.monotonic()
        if _plain.get(key, 0.0) > now:
            return True
        if (yield from node.has_code(charge.payer)):
            return False
        if (yield from query(is_burning, charge.payer)):
            return False
        _plain[key] = now + PLAIN_FOR
        return True

    def carry(
        self,
        charges: Sequence[Charge],
        written: Callable[[Transaction, list[Charge]], None],
    ) -> Steps[list[Charge]]:
        """Settle many of one network in one transaction, after a simulation of it.

        `written` is called with those that it carries, in the database transaction that writes
        it. Returns the others. Who carries them finds out what becomes of it by looking after it.
        Raises `NotSent`.
        """
        network = charges[0].offer.network
        node, key = nodes.of(network), self._settings.gas_key
        if node is None or not key:
            raise NotSent("there is no node" if node is None else "there is no gas key")
        calls = [_call(charge) for charge in charges]
        results = yield from self._simulate(node, network, calls)
        crashpoints.reach("batch: simulated")
        good = [i for i, (worked, _) in enumerate(results) if worked]
        refused = [charges[i] for i, (worked, _) in enumerate(results) if not worked]
        if not good:
            return refused
        carried = [charges[i] for i in good]
        transaction = yield from own_transactions.write(
            key,
            network,
            transactions.MULTICALL3,
            transactions.aggregate([calls[i] for i in good]),
            transactions.GAS_BASE + transactions.GAS_EACH * len(good),
            [charge.identity for charge in carried],
            also=lambda transaction: written(transaction, carried),
        )
        crashpoints.reach("batch: written")
        yield from own_transactions.send(transaction)
        crashpoints.reach("batch: sent")
        return refused

    def _simulate(
        self, node: Node, network: str, calls: Sequence[tuple[str, str]]
    ) -> Steps[list[tuple[bool, bytes]]]:
        sender = transactions.wallet(self._settings.gas_key).address
        data = transactions.aggregate(calls)
        gas = transactions.GAS_BASE + transactions.GAS_EACH * len(calls)
        try:
            price = yield from price_of_gas(network, self._settings.gas_key, gas)
            answer = yield from node.eth_call(
                transactions.MULTICALL3, data, sender, gas=gas, gas_price=price
            )
            results = transactions.read_aggregate(answer)
        except (NodeError, ValueError) as error:
            raise NotSent(f"cannot simulate: {error}") from error
        if len(results) != len(calls):
            raise NotSent("cannot simulate: an answer of another length")
        return results

    def _prepare(self, charge: Charge, node: Node) -> Steps[tuple[str, str, int]]:
        """The call that settles an charge, simulated: contract, data, gas limit."""
        call = schemes.named(charge.offer.scheme).call(charge.payload, charge.offer)
        if call is None:
            from . import official

            try:
                return (yield from query(official.calls, charge, self._settings))
            except official.Refused as refused:
                raise _Refused(Rejected(refused.reason)) from refused
            except Exception as error:
                reason = f"could not be prepared ({type(error).__name__})"
                raise _Refused(_ours(reason)) from error
        sender = transactions.wallet(self._settings.gas_key).address
        gas = transactions.GAS_BASE + transactions.GAS_EACH
        try:
            # As it will be: by this sender, at this price, with no more gas than we pay for.
            key = self._settings.gas_key
            price = yield from price_of_gas(charge.offer.network, key, gas)
            yield from node.eth_call(*call, sender, gas=gas, gas_price=price)
        except Reverted as reverted:
            raise _Refused(_refusal(str(reverted))) from reverted
        except NodeError as error:
            raise _Refused(_ours(str(error))) from error
        return (*call, gas)

    def _await(self, charge: Charge, transaction: Transaction) -> Steps[Settlement]:
        patience = self._settings.facilitator_read_timeout
        receipt = yield from own_transactions.wait_for(transaction, patience)
        if receipt is None:
            return Unknown("no block has it yet", transaction.hash)
        if paid_in(charge, receipt):
            return Settled(receipt.transaction)
        yield from query(note_burnt, charge.payer)
        return Unknown("transaction_failed", receipt.transaction)


PLAIN_FOR = 60.0
"""Seconds for which an address without code is taken to have none still."""
_plain: Bounded[tuple[str, str], float] = Bounded()


def _has_paid(payer: str) -> bool:
    payments = Payment.objects.using(durable.alias())
    return payments.filter(one_of("state", PAID), payer=payer).exists()


class _Refused(Exception):
    def __init__(self, settlement: Settlement) -> None:
        self.settlement = settlement


def paid_in(charge: Charge, receipt: TransactionReceipt) -> bool:
    """Whether a transaction moved an charge's money."""
    return schemes.named(charge.offer.scheme).paid_in(charge.payload, charge.wanted, receipt)


def _call(charge: Charge) -> tuple[str, str]:
    call = schemes.named(charge.offer.scheme).call(charge.payload, charge.offer)
    if call is None:
        raise ValueError("it cannot be carried with others")
    return call


def _refusal(message: str) -> Settlement:
    """What a token's refusal means before anything was sent."""
    lower = message.lower()
    if _USED.search(lower):
        # By whom? Anybody may have submitted it: the chain knows.
        return Unknown("the authorization is used")
    for words, code in _REASONS:
        if words in lower:
            return Rejected(code, message)
    return Rejected("invalid_exact_evm_transaction_simulation_failed", message)


def _ours(detail: str) -> Rejected:
    return Rejected(Code.FACILITATOR_UNAVAILABLE, detail, ours=True)
