"""What the official x402 package knows about settling on EVM chains, without its sending.

Its mechanism verifies an charge and makes the calls that settle it; the signer that it is given
here reads the chain and writes the calls down instead of sending them. Needs the extra
`django-paywall[onchain]`; imported only when it is used, for it brings web3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from web3 import Web3
from x402.mechanisms.evm import FacilitatorWeb3Signer, TransactionReceipt
from x402.mechanisms.evm.exact.facilitator import ExactEvmScheme, ExactEvmSchemeConfig
from x402.mechanisms.evm.upto.facilitator import UptoEvmScheme, UptoEvmSchemeConfig
from x402.schemas import PaymentPayload, PaymentRequirements, ResourceInfo

from paywall.protocols.x402.requirements import requirements
from paywall.rails.evm import transactions
from paywall.vocabulary import Verdict

if TYPE_CHECKING:
    from paywall.conf import Settings
    from paywall.vocabulary import Charge, Offer

GAS_FOR_DEPLOYMENT = 3_000_000


class Refused(Exception):
    """The charge is not good, with x402's code for it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def verify(charge: Charge, settings: Settings) -> Verdict:
    """Verify with a simulation. Blocks. Raises what web3 raises."""
    scheme = _scheme(charge, _Recorder(charge, settings), settings)
    answer = scheme.verify(*_models(charge, charge.offer))
    return Verdict(answer.is_valid, answer.invalid_reason or "")


def calls(charge: Charge, settings: Settings) -> tuple[str, str, int]:
    """Contract, data and gas limit of the call that settles an charge. Blocks.

    Raises `Refused`, and what web3 raises.
    """
    recorder = _Recorder(charge, settings)
    answer = _scheme(charge, recorder, settings).settle(*_models(charge, charge.wanted))
    if not recorder.calls:
        raise Refused(answer.error_reason or "invalid_payload")
    if len(recorder.calls) == 1:
        ((to, data),) = recorder.calls
        return to, data, 2 * transactions.GAS_EACH + transactions.GAS_BASE
    return transactions.MULTICALL3, transactions.aggregate(recorder.calls), GAS_FOR_DEPLOYMENT


class _Recorder(FacilitatorWeb3Signer):  # type: ignore[misc,unused-ignore]
    """Reads the chain as the official signer does; what it is told to send, it writes down."""

    def __init__(self, charge: Charge, settings: Settings) -> None:
        (url, *_) = settings.rpc_nodes(charge.offer.network)
        super().__init__(private_key=settings.gas_key.reveal(), rpc_url=url)
        self.calls: list[tuple[str, str]] = []

    def write_contract(
        self,
        address: str,
        abi: list[dict[str, Any]],
        function_name: str,
        *args: Any,
        data_suffix: str | None = None,
    ) -> str:
        contract = Web3().eth.contract(address=Web3.to_checksum_address(address), abi=abi)
        self.calls.append((address, contract.encode_abi(function_name, args=list(args))))
        return "0x" + "00" * 32

    def send_transaction(self, to: str, data: bytes) -> str:
        self.calls.append((Web3.to_checksum_address(to), "0x" + bytes(data).hex()))
        return "0x" + "00" * 32

    def wait_for_transaction_receipt(self, tx_hash: str) -> TransactionReceipt:
        return TransactionReceipt(status=1, block_number=0, tx_hash=tx_hash, logs=None)


def _scheme(
    charge: Charge, recorder: _Recorder, settings: Settings
) -> ExactEvmScheme | UptoEvmScheme:
    if charge.offer.scheme == UptoEvmScheme.scheme:
        return UptoEvmScheme(recorder, UptoEvmSchemeConfig(simulate_in_settle=True))
    config = ExactEvmSchemeConfig(
        eip6492_allowed_factories=list(settings.wallet_factories), simulate_in_settle=True
    )
    return ExactEvmScheme(recorder, config)


def _models(charge: Charge, wanted: Offer) -> tuple[PaymentPayload, PaymentRequirements]:
    inner = dict(charge.payload)
    extensions = inner.pop("extensions", None)
    payload = PaymentPayload(
        x402_version=2,
        payload=inner,
        extensions=extensions,
        accepted=PaymentRequirements.model_validate(requirements(charge.offer)),
        resource=ResourceInfo(url=charge.url),
    )
    return payload, PaymentRequirements.model_validate(requirements(wanted))
