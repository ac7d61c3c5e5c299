"""Any history of buyers, workers, a facilitator and a chain keeps the design's invariants.

`pytest tests/model --hypothesis-profile nightly` goes through more than 100,000 steps.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import Q
from django.test import Client
from django.test.utils import override_settings
from django.utils import timezone
from eth_account import Account as Key
from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from paywall import crashpoints, effects
from paywall.catalog import offers
from paywall.entry import verification
from paywall.ledger import exposure
from paywall.models import (
    Account,
    CreditLoss,
    Cursor,
    Exposure,
    FacilitatorHealth,
    Payment,
    PaymentEvent,
    Price,
    Receipt,
    Resource,
    Tally,
    Transaction,
    Wallet,
)
from paywall.models.payments import State
from paywall.rails.evm import onchain
from paywall.rails.evm.eip3009 import TransferAuthorization
from paywall.rails.evm.terms import account_for
from paywall.settlement import worker
from paywall.settlement.facilitators import health
from paywall.testing import Buyer, encode
from site_demo.chain.local import NETWORK, account
from tests.helpers import Died
from tests.model.world import FACILITATOR, NODE, World

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

SELLER = account(1).address
PRICE = 10_000
ARROWS = {
    ("claimed", "settling"),
    ("claimed", "failed"),
    ("settling", "settled"),
    ("settling", "failed"),
    ("settling", "lost"),
    ("settled", "confirmed"),
    ("settled", "lost"),
    ("settled", "settling"),
    ("confirmed", "settled"),
    ("confirmed", "settling"),
    ("confirmed", "lost"),
}
STATES = {str(state) for state in State}
EMPTIED: list[Any] = [
    *(
        CreditLoss,
        Tally,
        Receipt,
        PaymentEvent,
        Payment,
        Price,
        Resource,
        Account,
        Exposure,
        Cursor,
    ),
    *(Transaction, Wallet, FacilitatorHealth),
]
BUYERS = [Buyer(Key.from_key(f"0x{number:064x}")) for number in range(1001, 1004)]


class Machine(RuleBasedStateMachine):
    """The paywall in a world that misbehaves."""

    own: bool

    def __init__(self) -> None:
        super().__init__()
        for model in EMPTIED:
            model.objects.all().delete()
        offers.forget()
        for known in (verification._balances, verification._paid_before, exposure._trusted):
            known.clear()
        onchain._plain.clear()
        health._Known.until, health._Known.failing = 0.0, {}
        self.world = World()
        for buyer in BUYERS:
            self.world.mint(buyer.account.address, 20 * PRICE)
        self.clients = Client()
        self.credentials: list[tuple[str, dict[str, Any]]] = []
        self.served: Counter[int] = Counter()
        self.lied: set[int] = set()
        self.submitted_by_others: set[int] = set()
        self.patch = pytest.MonkeyPatch()
        real_now = timezone.now
        offset = self.world
        self.patch.setattr(timezone, "now", lambda: real_now() + timedelta(seconds=offset.offset))
        self.patch.setattr("time.time", self.world.time)
        self.patch.setattr(effects, "_send", self.world.answer)
        self.patch.setattr("time.sleep", lambda seconds: None)

    @initialize(own=st.booleans(), depth=st.integers(1, 3), credit_after=st.integers(0, 1))
    def open_shop(self, own: bool, depth: int, credit_after: int) -> None:
        self.own = own
        settings: dict[str, Any] = {
            "RPC_URLS": {NETWORK: NODE},
            "CACHE_SECONDS": 0,
            "EXPOSURE_PER_PAYER": "0.05",
            "EXPOSURE_TOTAL": "0.08",
            "CREDIT_AFTER": credit_after,
            "BALANCE_CHECK": True,
            "GAS_LOST_PER_HOUR": "1000",
            "FACILITATOR_READ_TIMEOUT": 0.05,
            "BATCH_SIZE": 3,
        }
        where = {"GAS_KEY": account(0).key.hex()} if own else {"FACILITATOR_URL": FACILITATOR}
        self.settings = override_settings(PAYWALL={**settings, **where}, DEBUG=True)
        self.settings.enable()
        shop = account_for("usdc-base-sepolia", SELLER)
        shop.terms["confirmations"] = depth
        shop.save()
        for policy in ("after", "before", "background"):
            resource = Resource.objects.create(slug=policy, title=policy, policy=policy)
            Price.objects.create(
                resource=resource, amount=Decimal("0.01"), valid_from=timezone.now()
            )

    def teardown(self) -> None:
        try:
            if hasattr(self, "own"):
                self.come_to_rest()
        finally:
            if hasattr(self, "settings"):
                self.settings.disable()
            self.patch.undo()

    # ----------------------------------------------------------------------- Buyers

    @rule(policy=st.sampled_from(["after", "before", "background"]), who=st.integers(0, 2))
    def buy(self, policy: str, who: int) -> None:
        path = f"/by-object/{policy}/"
        payload = BUYERS[who].payload(self.clients.get(path))
        self.credentials.append((path, payload))
        self.present(len(self.credentials) - 1)

    @rule(who=st.integers(0, 2), times=st.integers(2, 5))
    def buy_many_on_credit(self, who: int, times: int) -> None:
        for _ in range(times):
            self.buy("background", who)

    @precondition(lambda self: self.credentials)
    @rule(data=st.data())
    def come_back(self, data: Any) -> None:
        self.present(self.some_credential(data))

    def present(self, number: int) -> None:
        path, payload = self.credentials[number]
        response = self.clients.get(path, headers={"PAYMENT-SIGNATURE": encode(payload)})
        if response.status_code == 200:
            self.served[number] += 1
            if self.world.facilitator == "lies" and not self.own:
                self.lied.add(number)
        elif response.status_code in (403, 409, 429, 503):
            assert "PAYMENT-REQUIRED" not in response.headers
        else:
            assert response.status_code == 402, response.content

    @precondition(lambda self: self.credentials)
    @rule(data=st.data())
    def somebody_submits_it_first(self, data: Any) -> None:
        number = self.some_credential(data)
        self.submitted_by_others.add(number)
        self.world.front_run(self.authorization(number))

    @precondition(lambda self: self.credentials)
    @rule(data=st.data())
    def the_payer_cancels(self, data: Any) -> None:
        self.world.cancel(self.authorization(self.some_credential(data)))

    @rule(who=st.integers(0, 2), left=st.sampled_from([0, 20 * PRICE, 20 * PRICE, 20 * PRICE]))
    def money_goes_and_comes(self, who: int, left: int) -> None:
        address = BUYERS[who].account.address
        self.world.mint(address, left - self.world.state().balances[address])

    # ---------------------------------------------------------------------- Workers

    @rule(
        work=st.sampled_from(["settle", "sweep", "confirm_payments"]),
        dies_at=st.sampled_from([None, *crashpoints.POINTS]),
    )
    def a_worker_works(self, work: str, dies_at: str | None) -> None:
        def reach(point: str) -> None:
            if point == dies_at:
                raise Died

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(crashpoints, "reach", reach)
            with contextlib.suppress(Died):
                getattr(worker, work)()

    @rule(seconds=st.sampled_from([5, 40, 400]))
    def time_passes(self, seconds: int) -> None:
        self.world.offset += seconds
        self.world.mine()

    # ------------------------------------------------------------------------ World

    @rule(number=st.integers(1, 3))
    def blocks_come(self, number: int) -> None:
        self.world.mine(number)

    @rule(depth=st.integers(1, 5), keep=st.booleans())
    def the_chain_is_reorganised(self, depth: int, keep: bool) -> None:
        self.world.reorganise(depth, keep=keep)

    @rule(instant=st.booleans())
    def blocks_are_quick_or_slow(self, instant: bool) -> None:
        self.world.instant = instant

    @rule(how=st.sampled_from(["up", "up", "down", "behind"]))
    def the_node_is(self, how: str) -> None:
        self.world.node = how

    @precondition(lambda self: not self.own)
    @rule(
        how=st.sampled_from(
            ["works", "works", "busy", "down", "refuses", "lost before", "lost after", "lies"]
        )
    )
    def the_facilitator(self, how: str) -> None:
        self.world.facilitator = how

    # ------------------------------------------------------------------- Invariants

    @invariant()
    def each_payment_delivers_once(self) -> None:
        assert all(count == 1 for count in self.served.values())

    @invariant()
    def nothing_is_delivered_that_was_not_settled_or_on_credit(self) -> None:
        unsettled = Payment.objects.filter(delivered_at__isnull=False, settled_at__isnull=True)
        assert not unsettled.filter(on_credit=False).exists()
        number = Payment.objects.filter(delivered_at__isnull=False).count()
        assert number == sum(self.served.values())

    @invariant()
    def states_move_along_the_arrows(self) -> None:
        events = PaymentEvent.objects.order_by("payment", "pk").values_list("payment", "kind")
        for _, kinds in itertools.groupby(events, key=lambda event: event[0]):
            states = ["claimed", *(kind for _, kind in kinds if kind in STATES)]
            assert set(itertools.pairwise(states)) <= ARROWS, states
        last = {payment: kind for payment, kind in events if kind in STATES}
        for pk, state in Payment.objects.values_list("pk", "state"):
            assert last.get(pk, "claimed") == state

    @invariant()
    def exposure_is_what_is_owed_and_what_was_lost(self) -> None:
        owed: Counter[str] = Counter()
        lost = CreditLoss.objects.values("payment")
        counted = Q(on_credit=True, state__in=["claimed", "settling"]) | Q(pk__in=lost)
        for payment in Payment.objects.filter(counted):
            owed[f"{payment.payer} USD"] += 1_000_000
            owed["all USD"] += 1_000_000
        kept = {row.scope: row.units for row in Exposure.objects.exclude(units=0)}
        assert kept == dict(owed)

    @invariant()
    def what_is_lost_on_credit_in_a_day_is_within_the_limits(self) -> None:
        """But for what the chain took back after it was settled: that is owed all the same."""
        never_settled = CreditLoss.objects.filter(payment__settled_at__isnull=True)
        assert never_settled.count() * Decimal("0.01") <= Decimal("0.08")
        delivered = Payment.objects.filter(on_credit=True, delivered_at__isnull=False)
        unpaid = delivered.filter(state="failed", settled_at__isnull=True)
        assert set(unpaid.values_list("pk", flat=True)) == set(
            never_settled.values_list("payment", flat=True)
        )

    @invariant()
    def every_delivery_has_a_receipt(self) -> None:
        delivered = Payment.objects.filter(delivered_at__isnull=False)
        assert not delivered.filter(receipt__isnull=True).exists()

    # ------------------------------------------------------------------- At the end

    def come_to_rest(self) -> None:
        """Everything works again: all becomes final, and the books agree with the chain."""
        self.world.node, self.world.facilitator, self.world.instant = "up", "works", True
        for _ in range(60):
            self.world.mine(2)
            Cursor.objects.update(held_until=timezone.now(), read_at=timezone.now())
            for work in (worker.settle, worker.sweep, worker.confirm_payments):
                work()
            if not Payment.objects.filter(state__in=["claimed", "settling", "settled"]).exists():
                break
            self.world.offset += 60
        else:
            unfinished = Payment.objects.filter(state__in=["claimed", "settling", "settled"])
            raise AssertionError([(p.state, p.position, p.story) for p in unfinished])
        self.check_the_books()

    def check_the_books(self) -> None:
        by_nonce = {
            payment.payload["authorization"]["nonce"]: payment for payment in Payment.objects.all()
        }
        for known in by_nonce.values():
            path = [event_.kind for event_ in known.events.all() if event_.kind in STATES]
            event(f"{'own' if self.own else 'remote'}: {' '.join(path)} {known.error_code}")
        for number in range(len(self.credentials)):
            authorization = self.authorization(number)
            payment = by_nonce.get(authorization.nonce)
            if payment is None:
                continue
            used = self.world.is_used(authorization)
            if payment.state == State.CONFIRMED:
                assert used, payment.story
            elif used:
                # It was closed for good reasons, and somebody submitted it all the same.
                assert number in self.submitted_by_others or self.was_reorganised(payment)
        numbers = Receipt.objects.exclude(number=None).order_by("number")
        assert list(numbers.values_list("number", flat=True)) == list(range(1, len(numbers) + 1))
        out = StringIO()
        with contextlib.suppress(SystemExit):
            call_command("paywall_reconcile", "--json", stdout=out)
        (books,) = json.loads(out.getvalue())
        assert books["missing"] == []
        assert books["onChain"] == books["inLedger"]

    def was_reorganised(self, payment: Payment) -> bool:
        return payment.state == State.LOST

    def some_credential(self, data: Any) -> int:
        return int(data.draw(st.integers(0, len(self.credentials) - 1)))

    def authorization(self, number: int) -> TransferAuthorization:
        return TransferAuthorization.read(self.credentials[number][1]["payload"]["authorization"])


def test_any_history_keeps_the_invariants(db: None) -> None:
    run_state_machine_as_test(Machine)
