"""docs/tutorial.md, followed to the letter by somebody who has nothing but Python."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from playwright.sync_api import expect

from site_demo.chain.local import free_port, wait_for

from .browser import browser
from .conftest import ROOT
from .test_install import FILE, wheel

BLOCK = re.compile(r"```(bash|python)\n(.*?)```", re.DOTALL)
__all__ = ["wheel"]


@pytest.fixture
def shell(tmp_path, wheel):
    """A terminal in an empty folder. Only where the package comes from, and the port, are ours."""
    port = free_port()
    ours = {
        "django-paywall[buyer]": f"{wheel}[buyer]",
        "127.0.0.1:8000": f"127.0.0.1:{port}",
        "manage.py runserver": f"manage.py runserver --noreload {port}",
        "python -m venv": f"{sys.executable} -m venv",
    }
    hidden = ("DJANGO_SETTINGS_MODULE", "DEBUG", "VIRTUAL_ENV", "PYTHONPATH")
    env = {k: v for k, v in os.environ.items() if k not in hidden} | {"PIP_QUIET": "1"}
    env["PATH"] = f"{tmp_path / '.venv' / 'bin'}:{env['PATH']}"
    return Terminal(tmp_path, env, ours, f"http://127.0.0.1:{port}")


class Terminal:
    def __init__(self, folder: Path, env: dict[str, str], ours: dict[str, str], url: str) -> None:
        self.folder, self.env, self.ours, self.url = folder, env, ours, url
        self.servers: list[subprocess.Popen[bytes]] = []
        self.said = ""

    def replaced(self, text: str) -> str:
        for theirs, own in self.ours.items():
            text = text.replace(theirs, own)
        return text

    def write(self, text: str) -> None:
        found = FILE.match(text)
        assert found is not None, text
        path = self.folder / found[1]
        before = path.read_text() if path.exists() else ""
        path.write_text(f"{before}\n{text[found.end() :]}")

    def run(self, text: str) -> None:
        if "runserver" in text:
            log = (self.folder / "server.log").open("wb")
            server = subprocess.Popen(
                ["bash", "-c", f"exec {text}"],
                cwd=self.folder,
                env=self.env,
                stdout=log,
                stderr=log,
            )
            self.servers.append(server)
            wait_for(self.url, server)
            return
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", text],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        self.said += done.stdout + done.stderr


def test_it_sells_within_fifteen_minutes(shell):
    text = (ROOT / "docs" / "tutorial.md").read_text()
    blocks = BLOCK.findall(text)
    assert len(blocks) == 11
    try:
        for kind, block in blocks:
            if kind == "python":
                shell.write(block)
            else:
                shell.run(shell.replaced(block))
        said = shell.said[shell.said.index("402 Payment Required") :]
        for told in ('{"sky": "clear"}', "receipt", "1 passed"):
            assert told in said, (told, said)
        with browser() as started:
            page = started.new_page()
            page.goto(f"{shell.url}/admin/paywall/dashboard/")
            page.fill("#id_username", "owner")
            page.fill("#id_password", "change-me")
            page.click("[type=submit]")
            expect(page.locator(".desk-figures")).to_contain_text("0.01")
            reader = started.new_page()
            reader.goto(f"{shell.url}/forecast/")
            expect(reader.locator("body")).to_contain_text("Tomorrow's weather")
        assert requests.get(f"{shell.url}/forecast/").status_code == 402
    finally:
        for server in shell.servers:
            server.kill()
            server.wait()
