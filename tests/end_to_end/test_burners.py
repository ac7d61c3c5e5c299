"""Contract wallets that burn the site's gas: what they cost is bounded, and nobody else pays it."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account as Key

from paywall.models import Alert, Payment, Tally, Transaction
from paywall.rails.evm import gas, onchain
from paywall.reports import alerts
from paywall.settlement import worker
from paywall.testing import Buyer, encode
from site_demo.chain import local
from tests.helpers import code, let_lapse

from .conftest import ROOT, SELLER
from .helpers import pay

pytestmark = pytest.mark.django_db(transaction=True)

PRICE, BLOCK = 1, 2


@pytest.fixture
def burner(chain):
    """Makes wallets that cheat, with money."""

    def make(kind: int) -> tuple[str, Buyer]:
        source = ROOT / "tests/end_to_end/contracts/BurningWallet.sol"
        address = Key.create().address
        chain.put(address, local.compiled(source)["BurningWallet"])
        chain.mint(address, 1_000_000)
        arm(chain, address, kind)
        return address, Buyer()

    return make


def arm(chain: Any, address: str, kind: int) -> None:
    """It says yes up to the newest block, and burns in the next one."""
    head = int(chain.rpc("eth_blockNumber"), 16)
    chain.send("arm(uint256,uint256)", kind, head + 1, to=address)


def cheats(shop: Any, wallet: tuple[str, Buyer], padding: str = "") -> Any:
    address, owner = wallet
    payload = owner.payload(shop.get("/item/"), **{"from": address})
    payload["payload"]["signature"] += padding
    return shop.get("/item/", headers={"PAYMENT-SIGNATURE": encode(payload)})


@pytest.fixture(autouse=True)
def _forget():
    onchain._plain.clear()


def believes(monkeypatch: Any) -> None:
    """/verify is a simulation too, which such a wallet passes."""

    def valid(self: Any, order: Any) -> Any:
        return onchain.Verdict(True)
        yield

    monkeypatch.setattr(onchain.OnchainFacilitator, "verify", valid)


def test_who_knows_a_simulation_by_its_gas_price_is_found_out(own_shop, burner, monkeypatch):
    """It is simulated by the real sender at the real price: so it burns there, for nothing."""
    believes(monkeypatch)
    response = cheats(own_shop, burner(PRICE))
    assert (response.status_code, code(response)) == (402, "settlement_refused")
    assert not Transaction.objects.exists()


def test_who_cheats_by_the_block_burns_once(own_shop, chain, burner, monkeypatch):
    believes(monkeypatch)
    wallet = burner(BLOCK)
    first = cheats(own_shop, wallet)
    assert first.status_code in (402, 503)
    assert b"sold" not in first.content
    sent = Transaction.objects.get()
    assert (sent.state, sent.succeeded) == ("mined", False)
    assert (sent.gas_used or 0) <= 170_000
    # Neither is that one sent again, nor another of this wallet's.
    for _ in range(3):
        let_lapse()
        worker.settle()
        worker.sweep()
        arm(chain, wallet[0], BLOCK)
        cheats(own_shop, wallet)
    assert Transaction.objects.count() == 1
    assert chain.balance(SELLER) is not None
    assert set(Payment.objects.values_list("state", flat=True)) <= {"failed", "settling"}


def test_contract_wallets_go_alone_and_pay_in_line(own_shop, item, chain, paywall_settings):
    from .test_chain import deploy_wallet

    item.policy = "background"
    item.save()
    address, owner = deploy_wallet(chain)
    payload = owner.payload(own_shop.get("/item/"), **{"from": address})
    payload["payload"]["signature"] += "00" * 32
    assert own_shop.get("/item/", headers={"PAYMENT-SIGNATURE": encode(payload)}).status_code == 200
    payment = Payment.objects.get()
    assert (payment.state, payment.on_credit) == ("settled", False)


def test_one_that_burns_sinks_none_of_its_neighbours(
    own_shop, item, chain, burner, rich_buyer, paywall_settings, monkeypatch
):
    """Nine honest payments and one that would use up the gas of all of them."""
    believes(monkeypatch)
    item.policy = "background"
    item.save()
    paywall_settings(EXPOSURE_PER_PAYER="1000", EXPOSURE_TOTAL="1000", EXPOSURE_PER_MINUTE=10_000)
    challenge = own_shop.get("/item/")
    for _ in range(9):
        assert pay(own_shop, rich_buyer.payload(challenge)).status_code == 200
    address, owner = burner(BLOCK)
    payload = owner.payload(challenge, **{"from": address})
    # As if it had been given credit, by whatever way.
    monkeypatch.setattr("paywall.entry.verification.may_have_credit", lambda authorization: True)
    own_shop.get("/item/", headers={"PAYMENT-SIGNATURE": encode(payload)})
    arm(chain, address, BLOCK)
    worker.settle()
    honest = Payment.objects.filter(payer=rich_buyer.account.address)
    assert set(honest.values_list("state", flat=True)) == {"settled"}
    (batch,) = {payment.reference for payment in honest}
    assert Transaction.objects.get(hash=batch).carries.count() == 9


def test_a_budget_of_failed_gas_stops_what_strangers_cost(
    own_shop, chain, burner, rich_buyer, paywall_settings, monkeypatch
):
    believes(monkeypatch)
    assert pay(own_shop, rich_buyer.payload(own_shop.get("/item/"))).status_code == 200
    cheats(own_shop, burner(BLOCK))
    burnt = Transaction.objects.get(succeeded=False)
    assert gas.burnt_of_late() == {burnt.wallet.network: burnt.fee}
    paywall_settings(GAS_LOST_PER_HOUR=str(burnt.fee), ALERT_EMAILS=["owner@example.com"])
    count = Transaction.objects.count()
    stranger = cheats(own_shop, burner(BLOCK))
    assert (stranger.status_code, code(stranger)) == (503, "facilitator_unavailable")
    assert Transaction.objects.count() == count
    # Who has paid here before is served.
    assert pay(own_shop, rich_buyer.payload(own_shop.get("/item/"))).status_code == 200
    alerts.tell()
    assert Alert.objects.filter(kind="cheats").exists()


def test_a_reverted_transaction_is_no_failure_of_the_facilitator(own_shop, burner, monkeypatch):
    from paywall.models import FacilitatorHealth

    believes(monkeypatch)
    for _ in range(4):
        cheats(own_shop, burner(BLOCK))
    assert Tally.objects.filter(scope__startswith="burnt ").count() == 4
    assert not FacilitatorHealth.objects.filter(failures__gt=0).exists()
