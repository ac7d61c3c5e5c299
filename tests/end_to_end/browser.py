"""A real Chromium, driven by Playwright, and axe-core to look for what keeps people out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect, sync_playwright

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HERE = Path(__file__).parent
AXE = HERE / "clients" / "node_modules" / "axe-core" / "axe.min.js"
PICTURES = HERE.parents[1] / "var" / "pictures"
"""Where the pages that tests look at can be looked at."""

PATIENCE = 60
"""Seconds for what has to happen in a browser, which on a busy machine comes late. A test fails by
what does not happen, not by when."""

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    assert found, "Chromium is needed: make services"
    return found


@contextmanager
def browser() -> Iterator[Browser]:
    # Playwright keeps an event loop running, and Django minds queries beside one.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    try:
        expect.set_options(timeout=PATIENCE * 1000)
        with sync_playwright() as playwright:
            started = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            try:
                yield started
            finally:
                started.close()
    finally:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


class Desk:
    """Somebody signed in, and all that the browser complained about."""

    def __init__(self, started: Browser, site: str, **options: Any) -> None:
        self.site = site
        options = {"viewport": {"width": 1280, "height": 860}, **options}
        # What a test brings along is not what a site's policy is about.
        self.context = started.new_context(bypass_csp=False, **options)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _listen(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{self.page.url}: {message.text} {message.location}")

    def sign_in(self, name: str = "demo", password: str = "demo") -> Desk:
        self.page.goto(f"{self.site}/admin/login/")
        self.page.fill("#id_username", name)
        self.page.fill("#id_password", password)
        self.page.click("[type=submit]")
        return self

    def open(self, path: str, picture: str = "") -> Page:
        self.page.goto(f"{self.site}{path}", wait_until="load")
        self.page.wait_for_timeout(400)  # charts draw themselves
        if picture:
            self.take(picture)
        return self.page

    def take(self, picture: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{picture}.png")

    def violations(self) -> list[str]:
        """What axe-core finds serious or critical, in its words."""
        # axe brings a style of its own, which the policy stops: that is not the page's doing.
        before = list(self.complaints)
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate(
            "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"
        )
        self.page.wait_for_timeout(50)
        self.complaints[:] = before
        return [
            f"{rule['id']}: {node['html'][:160]} ({node['failureSummary'][:200]})"
            for rule in found
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]
