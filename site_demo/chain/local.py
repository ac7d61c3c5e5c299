"""A local EVM chain that stands in for Base Sepolia, with play USDC where the real one is.

For the demo and the tests. Its keys are the public ones of every development chain.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from eth_abi.abi import encode
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from paywall.rails.evm.permit2 import PERMIT2, PROXY, PROXY_UP_TO
from paywall.rails.evm.transactions import MULTICALL3

HERE = Path(__file__).parent
OURS = HERE / "TestUSDC.sol", HERE / "TestPermit2.sol"
MNEMONIC = "test test test test test test test test test test test junk"

CHAIN_ID = 84532
NETWORK = f"eip155:{CHAIN_ID}"
USDC = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
USDC_UNIT = 10**6
CONTRACTS = {
    USDC: "TestUSDC",
    PERMIT2: "TestPermit2",
    PROXY: "TestPermit2Proxy",
    PROXY_UP_TO: "TestUptoPermit2Proxy",
}
"""What is where on the local chain."""


def account(index: int) -> LocalAccount:
    """One of the chain's ten funded accounts. 0 is the facilitator's, 1 the seller's, 9 ours."""
    Account.enable_unaudited_hdwallet_features()
    found: LocalAccount = Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[Any] | None = None, seconds: float = 60) -> None:
    """Wait until something answers HTTP there. Raises `TimeoutError` or `RuntimeError`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            httpx.get(url, timeout=1)
        except httpx.HTTPError:
            if process is not None and process.poll() is not None:
                raise RuntimeError(f"{process.args!r} ended with {process.returncode}") from None
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"nothing answers at {url}")


@cache
def compiled(*sources: Path) -> dict[str, str]:
    """The deployed bytecode of contracts by name."""
    node = shutil.which("node") or "node"
    output = subprocess.run(
        [node, "compile.mjs", *map(str, sources or OURS)],
        cwd=HERE,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return dict(json.loads(output))


@cache
def multicall3() -> str:
    """The code that deploys Multicall3 on chains that lack it."""
    node = shutil.which("node") or "node"
    return subprocess.run(
        [node, "multicall3.mjs"], cwd=HERE, check=True, capture_output=True, text=True
    ).stdout.strip()


class LocalChain:
    """An anvil node as a context manager, with the token and Permit2 in place.

    `block_time` is seconds between blocks; None mines a block for every transaction.
    """

    def __init__(
        self,
        port: int | None = None,
        block_time: float | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.port, self.host = port or free_port(), host
        self.block_time = block_time
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(timeout=30)

    def __enter__(self) -> LocalChain:
        command = [
            str(_anvil()),
            *("--host", self.host, "--port", str(self.port)),
            *("--chain-id", str(CHAIN_ID)),
            *("--mnemonic", MNEMONIC),
            "--silent",
        ]
        if self.block_time is not None:
            command += ["--block-time", str(self.block_time)]
        self._process = subprocess.Popen(command)
        try:
            self._wait()
            for address, name in CONTRACTS.items():
                self.put(address, compiled()[name])
            deployed = self.rpc("eth_call", {"data": multicall3()}, "latest")
            self.put(MULTICALL3, deployed)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def rpc(self, method: str, *parameters: Any) -> Any:
        """One JSON-RPC call. Raises `RuntimeError` with the node's error."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        answer = self._client.post(self.url, json=body).json()
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def put(self, address: str, bytecode: str) -> None:
        """Make a contract live at an address."""
        self.rpc("anvil_setCode", address, bytecode)

    def mine(self, blocks: int = 1) -> None:
        self.rpc("anvil_mine", hex(blocks))

    def advance(self, seconds: int) -> None:
        """Let the chain's clock go forward, and mine a block at the new time."""
        self.rpc("evm_increaseTime", seconds)
        self.mine()

    def send(self, signature: str, *arguments: Any, to: str = USDC, sender: int = 9) -> str:
        """Call a contract's function in a transaction; returns its hash once it is mined."""
        return self.send_from(account(sender).address, signature, *arguments, to=to)

    def send_from(self, sender: str, signature: str, *arguments: Any, to: str = USDC) -> str:
        """The same from any address that the node can sign for, or impersonates."""
        types = signature[signature.index("(") + 1 : -1].split(",")
        data = keccak(text=signature)[:4] + encode(types, arguments)
        transaction = {"from": sender, "to": to, "data": "0x" + data.hex()}
        transaction_hash = str(
            self.rpc("eth_sendTransaction", {**transaction, "gas": hex(300_000)})
        )
        deadline = time.monotonic() + 30
        while self.rpc("eth_getTransactionReceipt", transaction_hash) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(transaction_hash)
            time.sleep(0.02)
        return transaction_hash

    def mint(self, to: str, units: int) -> None:
        self.send("mint(address,uint256)", to, units)

    def balance(self, owner: str) -> int:
        data = keccak(text="balanceOf(address)")[:4] + encode(["address"], [owner])
        return int(self.rpc("eth_call", {"to": USDC, "data": "0x" + data.hex()}, "latest"), 16)

    def _wait(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                self.rpc("eth_chainId")
            except httpx.HTTPError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return


def _anvil() -> Path:
    """The binary of this platform, out of npm's package."""
    found = sorted((HERE / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil*"))
    if not found:
        raise RuntimeError(f"anvil is missing: run `make chain`; looked in {HERE}")
    os.chmod(found[0], 0o755)  # noqa: PTH101, S103
    return found[0]
