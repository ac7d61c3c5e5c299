"""`make demo`, as a newcomer would run it: twice, and stopped with Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import Any

import pytest
import requests
from playwright.sync_api import expect

from site_demo.chain.local import free_port

from .browser import browser
from .conftest import ROOT
from .reader import Reader


def demo(*arguments: str, ports: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "site_demo.demo", *arguments],
        cwd=ROOT,
        env={**os.environ, **ports},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def some_ports() -> dict[str, str]:
    names = ("DEMO_PORT", "DEMO_CHAIN_PORT", "DEMO_FACILITATOR_PORT")
    return {name: str(free_port()) for name in names}


def told_until(process: subprocess.Popen[str], last: str) -> str:
    told = ""
    assert process.stdout is not None
    for line in process.stdout:
        told += line
        if last in line:
            break
    return told


def is_free(port: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) != 0


def test_the_demo_sells_and_stops_cleanly():
    ports = some_ports()
    process = demo(ports=ports)
    told = told_until(process, "Running until you press Ctrl-C")
    assert told.count("402 Payment Required") == 2, told
    assert told.count("200 OK") == 2
    assert "receipt No. 1" in told
    assert "confirmed" in told
    assert "demo / demo" in told
    site = f"http://localhost:{ports['DEMO_PORT']}"
    assert log_in(site).url == f"{site}/admin/"
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert "Nothing is left running" in rest
    assert process.returncode == 0
    assert all(is_free(port) for port in ports.values())

    again = demo("--once", ports=ports)
    told, _ = again.communicate(timeout=120)
    assert again.returncode == 0, told
    assert "receipt No. 2" in told
    assert all(is_free(port) for port in ports.values())


def test_a_port_that_is_in_use_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = some_ports() | {"DEMO_PORT": str(taken.getsockname()[1])}
        told, _ = demo("--once", ports=ports).communicate(timeout=60)
    assert "is in use: choose another with DEMO_PORT=" in told


def log_in(site: str) -> Any:
    with requests.Session() as session:
        session.get(f"{site}/admin/login/")
        form = {
            "username": "demo",
            "password": "demo",
            "csrfmiddlewaretoken": session.cookies["csrftoken"],
            "next": "/admin/",
        }
        return session.post(f"{site}/admin/login/", data=form)


@pytest.mark.parametrize("command", [["check"], ["makemigrations", "--check", "--dry-run"]])
def test_the_demo_site_is_in_order(make_site, command):
    assert make_site().manage(*command) is not None


def test_a_newcomer_buys_with_the_play_wallet():
    """`make demo DEMO=--wallet`: two clicks in a browser that has nothing installed."""
    ports = some_ports()
    process = demo("--wallet", ports=ports)
    try:
        told = told_until(process, "Running until you press Ctrl-C")
        assert "play wallet" in told, told
        with browser() as started:
            person = Reader(started, f"http://localhost:{ports['DEMO_PORT']}")
            page = person.open("/articles/deep-archive/")
            person.pay()
            dialog = page.locator("dialog[data-play-wallet]")
            expect(dialog).to_contain_text("Pay 1 USDC (play money)")
            dialog.get_by_role("button", name="Decline").click()
            expect(person.alert).to_contain_text("You declined")
            person.pay()
            dialog.get_by_role("button", name="Confirm").click()
            expect(page.locator("main.article")).to_contain_text("The rule of admission")
            expect(page.locator("[data-paywall-receipt]")).to_be_visible()
            person.close()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
