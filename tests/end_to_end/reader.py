"""A reader in a real Chromium, with wallets that sign for real."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from eth_account.messages import encode_defunct, encode_typed_data
from playwright.sync_api import Error as PlaywrightError

from site_demo.chain.local import CHAIN_ID, LocalChain

from .browser import AXE, PATIENCE, PICTURES

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount
    from playwright.sync_api import Browser, BrowserContext, Locator, Page

INJECTED = (Path(__file__).parent / "injected.js").read_text()


def each_look(test: Callable[..., None]) -> Callable[..., None]:
    """A test of what is seen, by `phone` and `scheme`."""
    for marked in (
        pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"]),
        pytest.mark.parametrize("scheme", ["light", "dark"]),
    ):
        test = marked(test)
    return test


class WalletError(Exception):
    """What a wallet answers instead (EIP-1193)."""

    def __init__(self, code: int, message: str = "") -> None:
        self.code = code
        super().__init__(message or f"error {code}")


@dataclass
class Wallet:
    """An injected wallet; `before` may misbehave, by the method that is asked for."""

    account: LocalAccount
    chain: LocalChain
    name: str = "Test wallet"
    chain_id: int = CHAIN_ID
    knows: set[int] = field(default_factory=lambda: {CHAIN_ID})
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    signed: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rdns(self) -> str:
        return f"test.{self.name.lower().replace(' ', '-')}"

    def request(self, method: str, params: list[Any]) -> Any:
        self.asked[method] += 1
        if method in self.before:
            self.before[method]()
        match method:
            case "eth_requestAccounts" | "eth_accounts":
                return [self.account.address]
            case "eth_chainId":
                return hex(self.chain_id)
            case "wallet_switchEthereumChain":
                wanted = int(params[0]["chainId"], 16)
                if wanted not in self.knows:
                    raise WalletError(4902, "unknown chain")
                self.chain_id = wanted
                return None
            case "wallet_addEthereumChain":
                assert params[0]["rpcUrls"]
                assert params[0]["chainName"] == "Base Sepolia"
                self.knows.add(int(params[0]["chainId"], 16))
                self.chain_id = int(params[0]["chainId"], 16)
                return None
            case "eth_signTypedData_v4":
                assert params[0] == self.account.address
                typed = json.loads(params[1])
                assert typed["domain"]["chainId"] == self.chain_id
                self.signed.append(typed)
                message = encode_typed_data(full_message=typed)
                return "0x" + self.account.sign_message(message).signature.hex()
            case "personal_sign":
                text = bytes.fromhex(params[0].removeprefix("0x")).decode()
                self.signed.append({"text": text})
                signed = self.account.sign_message(encode_defunct(text=text))
                return "0x" + signed.signature.hex()
            case "eth_call":
                return self.chain.rpc(method, *params)
        raise WalletError(4200, f"{method} is not known")


def declines() -> None:
    raise WalletError(4001, "User rejected the request.")


class Reader:
    """One browser profile, what it complained about, and what policies stopped."""

    def __init__(
        self, started: Browser, site: str, *wallets: Wallet, phone: bool = False, **options: Any
    ) -> None:
        self.site, self.wallets = site, {wallet.rdns: wallet for wallet in wallets}
        self.scripted = options.get("java_script_enabled", True)
        self.kind = f"{'phone' if phone else 'desktop'}-{options.get('color_scheme', 'light')}"
        self.problems: list[str] = []
        width, height = (390, 844) if phone else (1280, 860)
        options = {"viewport": {"width": width, "height": height}, **options}
        if phone:
            options |= {"has_touch": True, "is_mobile": True}
        self.context: BrowserContext = started.new_context(**options)
        self.context.set_default_timeout(PATIENCE * 1000)
        self.context.expose_function("__walletRequest", self._request)
        for number, wallet in enumerate(wallets):
            own = {"name": wallet.name, "rdns": wallet.rdns, "uuid": f"uuid-{number}"}
            self.context.add_init_script(
                f"globalThis.__paywallWallet = {json.dumps(own)};\n{INJECTED}"
            )
        self.violations: list[str] = []
        self.context.expose_function("__violation", lambda told: self.violations.append(told))
        self.context.add_init_script(
            "document.addEventListener('securitypolicyviolation',"
            " e => __violation(`${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}`));"
            "document.addEventListener('paywall:paid', e => { globalThis.__paid = e.detail });"
        )
        self.page: Page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _request(self, rdns: str, method: str, params: list[Any]) -> dict[str, Any]:
        try:
            return {"result": self.wallets[rdns].request(method, params)}
        except WalletError as error:
            return {"error": {"code": error.code, "message": str(error)}}

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.site}{path}")
        return self.page

    def way(self, name: str) -> Locator:
        return self.page.locator(f"[data-paywall-way={name}]")

    def pay(self, way: str = "wallet") -> None:
        """Press the button, once the page's script has it, if the browser runs scripts."""
        self.wait_for_script()
        button = self.way(way).locator("[data-paywall-pay]")
        try:
            button.click()
        except PlaywrightError as error:
            shown = self.page.locator("body").inner_text()
            raise AssertionError(f"no {way} at {self.page.url}:\n{shown[:1_500]}") from error

    def follow(self, name: str) -> None:
        """Go where a link of the 402 page leads. Its script shows more ways to pay, and what was
        aimed at moves: so not before that is done."""
        self.wait_for_script()
        before = self.page.url
        self.page.get_by_role("link", name=name).click()
        self.page.wait_for_url(lambda url: url != before)

    def wait_for_script(self) -> None:
        """Until the page's script has looked at what was kept, and has the buttons; not where the
        browser runs none."""
        if self.scripted:
            self.page.locator("[data-paywall-ready]").wait_for()

    @property
    def status(self) -> Locator:
        return self.page.locator("[data-paywall-checkout] [role=status]")

    @property
    def alert(self) -> Locator:
        return self.page.locator("[data-paywall-checkout] [role=alert]")

    def take(self, picture: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{picture}.png", full_page=True)

    def look(self, folder: str, state: str) -> None:
        """A picture of a state of the page, which must fit the window's width; what axe-core finds
        in it is added to `problems`."""
        self.page.wait_for_timeout(100)
        width = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert width <= 0, f"{state}: it has to be scrolled sideways"
        self.take(f"{folder}/{state}-{self.kind}")
        self.problems += [f"{state}: {problem}" for problem in self.axe()]

    def axe(self) -> list[str]:
        """What axe-core finds serious or critical, in its words."""
        before = list(self.violations)
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate(
            "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"
        )
        self.violations[:] = before
        return [
            f"{rule['id']}: {node['html'][:160]} ({node['failureSummary'][:200]})"
            for rule in found
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]

    def close(self) -> None:
        self.context.close()
        assert self.violations == [], "the page's policy stopped something"
        assert self.errors == []
