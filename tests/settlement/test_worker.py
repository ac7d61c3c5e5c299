"""The rounds, as far as they need no chain; `end_to_end/test_chain.py` has the rest."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from paywall import ledger, settlement, tasks
from paywall.exceptions import LedgerUnavailable
from paywall.models import Payment
from paywall.models.payments import State
from paywall.settlement import worker
from tests.doubles import TX, Answer, failure, success
from tests.helpers import claim, let_lapse

pytestmark = pytest.mark.django_db


@pytest.fixture
def unknown(item, buyer, facilitator):
    """A payment whose settle call was not answered."""
    facilitator.settle = Answer(die=True)
    Client().get("/item/", headers=buyer.pays(Client().get("/item/")))
    let_lapse()
    return Payment.objects.get()


def test_a_claim_that_was_left_behind_is_closed(item):
    payment, _ = claim(item)
    assert worker.sweep() == {}  # it is held
    let_lapse()
    assert worker.sweep() == {"failed": 1}
    payment.refresh_from_db()
    assert (payment.state, payment.error_code) == (State.FAILED, "abandoned")
    assert worker.sweep() == {}


def test_without_a_node_the_same_facilitator_is_asked_again(unknown, facilitator):
    facilitator.settle = success()
    assert worker.sweep() == {"settled": 1}
    first, second = facilitator.asked("/settle")
    assert first == second
    payment = Payment.objects.get()
    assert (payment.state, payment.reference, payment.delivered_at) == (State.SETTLED, TX, None)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(die=True),
        failure("invalid_exact_evm_nonce_already_used"),
        failure("invalid_exact_evm_payload_authorization_valid_before"),
        Answer(401, {}),
    ],
)
def test_an_unknown_outcome_never_becomes_failed_by_the_clock(unknown, facilitator, answer):
    facilitator.settle = answer
    Payment.objects.update(expires_at=timezone.now() - timedelta(days=30))
    for _ in range(5):
        let_lapse()
        assert worker.sweep() == {"unknown": 1}
    payment = Payment.objects.get()
    assert payment.state == State.SETTLING
    assert payment in Payment.objects.needing_attention()


def test_what_does_not_resolve_is_looked_at_ever_less_often(unknown, facilitator):
    worker.sweep()
    pauses = []
    for _ in range(3):
        Payment.objects.update(held_until=timezone.now(), due_at=timezone.now())
        worker.sweep()
        pauses.append((Payment.objects.get().due_at - timezone.now()).total_seconds())
    assert pauses[0] < pauses[1] < pauses[2]
    assert settlement.pause(10_000) == settlement.LONGEST_PAUSE


def test_the_buyer_need_not_wait_for_the_engines_pause(unknown, facilitator):
    worker.sweep()
    payment = Payment.objects.get()
    assert payment.due_at > timezone.now() + timedelta(seconds=2)
    assert payment.held_until < timezone.now() + timedelta(seconds=2)


def test_two_workers_do_not_do_the_same(unknown, facilitator):
    taken = ledger.take_up(Payment.objects.get(), 60)
    assert taken is not None
    facilitator.requests.clear()
    assert worker.sweep() == {}
    assert facilitator.requests == []


def test_networks_without_a_node_are_left_alone(unknown, facilitator):
    facilitator.settle = success()
    worker.sweep()
    let_lapse()
    assert worker.confirm_payments() == {}
    assert Payment.objects.get().state == State.SETTLED


def test_a_node_that_is_down_decides_nothing(unknown, facilitator, paywall_settings):
    facilitator.settle = success()
    worker.sweep()
    let_lapse()
    paywall_settings(RPC_URLS={"eip155:84532": "http://127.0.0.1:1"})
    assert worker.confirm_payments() == {"waiting": 1}
    assert Payment.objects.get().state == State.SETTLED


@pytest.mark.parametrize(
    "trouble", [LedgerUnavailable("no space left on device"), ZeroDivisionError()]
)
def test_one_payments_trouble_does_not_stop_the_round(item, monkeypatch, caplog, trouble):
    first, _ = claim(item, "one")
    claim(item, "two")
    let_lapse()
    real = ledger.failed

    def failed(payment, *args, **kwargs):
        if payment.pk == first.pk:
            raise trouble
        real(payment, *args, **kwargs)

    monkeypatch.setattr(ledger, "failed", failed)
    assert worker.sweep() == {"failed": 1}
    assert f"payment={first.pk}" in caplog.text


def test_a_round_ends_in_time(item, monkeypatch):
    for number in range(3):
        claim(item, str(number))
    let_lapse()
    monkeypatch.setattr(worker, "ROUND_SECONDS", -1)
    assert worker.sweep() == {}
    monkeypatch.setattr(worker, "ROUND_SECONDS", 60)
    assert worker.sweep() == {"failed": 3}


def test_the_tasks_are_the_rounds(item):
    claim(item)
    let_lapse()
    assert tasks.sweep() == {"failed": 1}
    assert tasks.confirm_payments() == {}
    assert tasks.know_bots() == {}
    assert tasks.sweep.acks_late


def test_paywall_run_once(item, capsys):
    claim(item)
    let_lapse()
    call_command("paywall_run", "--once")
    assert "sweep: 1 failed" in capsys.readouterr().out
    call_command("paywall_run", "--once", verbosity=2)
    assert "confirm: nothing to do" in capsys.readouterr().out


def test_a_rail_that_breaks_breaks_no_other(item, monkeypatch, caplog):
    """Each rail's trouble is logged, and the round goes on."""
    from paywall.rails import registry

    class Broken:
        def watch(self):
            raise RuntimeError("a rail broke")

        def tend(self, patience):
            raise RuntimeError("a rail broke")

    who_can = registry.who_can
    monkeypatch.setattr(registry, "who_can", lambda ability: [Broken(), *who_can(ability)])
    assert worker.land() == {}
    assert worker.confirm_payments() == {}
    assert caplog.text.count("a rail broke") >= 2
