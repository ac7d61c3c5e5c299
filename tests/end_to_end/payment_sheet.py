"""A Chromium of its own, whose payment handler's window is driven over the DevTools protocol: no
driver lists that window as a page."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from site_demo.chain.local import free_port

from .browser import FLAGS, PATIENCE, chromium

AUTHENTICATOR = {
    "protocol": "ctap2",
    "ctap2Version": "ctap2_1",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
    "hasPrf": True,
}


BETWEEN = {
    "Cannot find default execution context",
    "Execution context was destroyed.",
    "Inspected target navigated or closed",
}


class Between(Exception):
    """The window has no document to ask at the moment: it is on its way to its page."""


class Window:
    """A page or a wallet's window, as its own target; the browser itself without one."""

    numbers = itertools.count(1)

    def __init__(self, socket: ClientConnection, target: str = "") -> None:
        self.socket, self.session = socket, ""
        if target:
            attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
            self.session = attached["sessionId"]

    def send(self, method: str, **parameters: Any) -> Any:
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv(timeout=PATIENCE))
            if answer.get("id") == number:
                if answer.get("error", {}).get("message") in BETWEEN:
                    raise Between(answer["error"]["message"])
                assert "error" not in answer, answer
                return answer["result"]

    def run(self, script: str) -> Any:
        """What a script comes to there, as if a person had just touched the window."""
        found = self.send(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = PATIENCE) -> Any:
        """A question that changes nothing, asked until the answer is yes."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(Between):
                if found := self.run(script):
                    return found
            assert time.monotonic() < deadline, (script, self.text())
            time.sleep(0.1)

    def ready(self) -> Window:
        self.wait("document.documentElement?.dataset.walletReady !== undefined")
        return self

    def text(self) -> str:
        return str(self.run("document.body.innerText"))

    def click(self, action: str) -> None:
        self.run(f"document.querySelector('[data-wallet-action={action}]').click()")

    def fill(self, selector: str, value: str) -> None:
        self.run(f"document.querySelector({selector!r}).value = {value!r}")

    def address(self) -> str:
        return str(self.wait("document.querySelector('[data-wallet] > .paywall-code')?.innerText"))

    def has_passkeys(self) -> None:
        """A virtual authenticator with PRF: it belongs to this window alone."""
        self.send("WebAuthn.enable")
        self.send("WebAuthn.addVirtualAuthenticator", options=AUTHENTICATOR)

    def picture(self) -> bytes:
        return base64.b64decode(self.send("Page.captureScreenshot")["data"])


class Sheet:
    """A browser, its page, and the windows that payment handlers open in it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.browser = Window(socket)
        self.page = self.window("about:blank")
        self.page.send("Page.enable")

    def window(self, part: str = "/handler/wallet/") -> Window:
        deadline = time.monotonic() + PATIENCE
        while True:
            targets = self.browser.send("Target.getTargets", filter=[{}])["targetInfos"]
            found = [t for t in targets if part in t["url"] and t["type"] == "page"]
            if found:
                return Window(self.socket, found[-1]["targetId"])
            assert time.monotonic() < deadline, (self.page.text(), targets)
            time.sleep(0.1)

    def open(self, url: str) -> None:
        self.page.send("Page.navigate", url=url)
        self.page.wait(f"location.href === {url!r} && document.readyState === 'complete'")


@contextlib.contextmanager
def payment_sheet() -> Iterator[Sheet]:
    profile, port = tempfile.mkdtemp(prefix="paywall-sheet-"), free_port()
    process = subprocess.Popen(
        [
            *(chromium(), "--headless=new", *FLAGS, f"--remote-debugging-port={port}"),
            *(f"--user-data-dir={profile}", "about:blank"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                version = httpx.get(f"http://127.0.0.1:{port}/json/version", timeout=1).json()
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        with connect(version["webSocketDebuggerUrl"], max_size=None) as socket:
            yield Sheet(socket)
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(profile, ignore_errors=True)
