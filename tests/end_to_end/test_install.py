"""The built wheel in an empty Django project, with the README's own ten lines."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import requests
from eth_account import Account
from playwright.sync_api import expect

from site_demo.chain.local import free_port, wait_for

from .browser import browser
from .conftest import ROOT, SELLER
from .reader import Reader, Wallet
from .test_clients import official_python


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # It is built in the tree, and test_tutorial.py may be at it in another process.
    with (ROOT / "var" / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(
            [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)],
            check=True,
            capture_output=True,
        )
    (built,) = folder.glob("django_paywall-*.whl")
    return Path(built)


def test_the_wheel_has_the_app_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"paywall"}
    for needed in (
        "paywall/py.typed",
        "paywall/templates/paywall/payment_required.html",
        "paywall/static/paywall/payment_required.css",
        "paywall/migrations/0001_initial.py",
        "paywall/management/commands/paywall_run.py",
        "paywall/templates/paywall/dashboard/index.html",
        "paywall/templates/paywall/receipt_mail.txt",
        "paywall/static/paywall/dashboard.js",
        "paywall/static/paywall/vendor/chart.umd.min.js",
        "paywall/locale/zh_Hans/LC_MESSAGES/django.mo",
        "paywall/templates/paywall/checkout/page.html",
        "paywall/static/paywall/checkout/wallet.js",
        "paywall/static/paywall/checkout/handler.png",
        "paywall/static/paywall/vendor/noble.min.js",
        "paywall/migrations/0002_readers.py",
    ):
        assert needed in names


def blocks_of_the_readme() -> dict[str, str]:
    """The README's quick start, by the file that each block says it belongs to."""
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", readme, re.DOTALL)
    return dict(blocks)


def test_the_readmes_lines_sell_a_view(wheel, tmp_path, chain, facilitator_url, rich):
    venv, project = tmp_path / "venv", tmp_path / "project"
    python = str(venv / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", str(wheel)], check=True)
    project.mkdir()

    env = {k: v for k, v in os.environ.items() if k not in ("DJANGO_SETTINGS_MODULE", "DEBUG")}

    def run(*command: str) -> str:
        done = subprocess.run(
            [python, *command], cwd=project, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("-m", "django", "startproject", "mysite", ".")
    blocks = blocks_of_the_readme()
    assert set(blocks) == {"settings.py", "urls.py", "views.py"}
    settings = project / "mysite" / "settings.py"
    ours = blocks["settings.py"].replace("https://x402.org/facilitator", facilitator_url)
    assert facilitator_url in ours
    ours += f"PAYWALL['RPC_URLS'] = {{'eip155:84532': {chain.url!r}}}\n"
    settings.write_text(f"{settings.read_text()}\n{ours}")
    (project / "mysite" / "views.py").write_text(blocks["views.py"])
    urls = project / "mysite" / "urls.py"
    urls.write_text(f"{urls.read_text()}\n{blocks['urls.py']}")
    lines = [line for block in blocks.values() for line in block.splitlines() if line.strip()]
    assert len(lines) == 10

    run("manage.py", "migrate")
    run("manage.py", "check", "--fail-level", "ERROR")
    run(
        "manage.py",
        "shell",
        "-c",
        "from paywall.rails.evm.terms import account_for; "
        f"account_for('usdc-base-sepolia', {SELLER!r}).save()",
    )
    port = free_port()
    server = subprocess.Popen(
        [python, "manage.py", "runserver", "--noreload", str(port)],
        cwd=project,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/admin/login/", server)
        url = f"http://127.0.0.1:{port}/forecast/"
        assert requests.get(url).status_code == 402
        bought = official_python("GET", url, rich)
        assert bought.status_code == 200
        assert bought.json() == {"sky": "clear"}
        assert requests.get(bought.links["receipt"]["url"]).json()["price"] == "0.01"
        assert "confirm: 1 confirmed" in run("manage.py", "paywall_run", "--once")
        # The desk needs none of the extras.
        for page in ("resource/", "resource/tester/", "account/", "dashboard/"):
            login = requests.get(f"http://127.0.0.1:{port}/admin/paywall/{page}")
            assert login.status_code == 200
            assert "/admin/login/" in login.url
    finally:
        server.kill()
        server.wait()


def test_start_up_loads_nothing_heavy():
    """What extras bring is imported where it is used."""
    code = (
        "import os, sys; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; "
        "import django; django.setup(); import paywall.decorators, paywall.admin, paywall.tasks; "
        "print([m for m in ('web3', 'x402.mechanisms', 'requests', 'pympp') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert run.stdout.strip() == "[]"


# ------------------------------------------------------------------- "In 15 minutes"

GUIDE = re.compile(r"```(bash|python|html)\n(.*?)```", re.DOTALL)
FILE = re.compile(r"(?:# |<!-- )(\S+\.(?:py|html))(?: -->)?\n")


def steps_of_the_guide() -> list[tuple[str, str]]:
    """The blocks of "Sell your articles in 15 minutes", in their order."""
    text = (ROOT / "docs" / "readers.md").read_text()
    guide = text[text.index("## Sell your articles") : text.index("## How people pay")]
    return GUIDE.findall(guide)


def test_articles_in_fifteen_minutes(wheel, tmp_path, chain, facilitator_url):
    """The guide, as it stands there: only the wheel, the facilitator and the node are ours."""
    venv, project = tmp_path / "venv", tmp_path / "project"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    project.mkdir()
    port = free_port()
    ours = {
        "django-paywall[wallets]": f"{wheel}[wallets]",
        "https://x402.org/facilitator": facilitator_url,
        "https://sepolia.base.org": chain.url,
        "python manage.py runserver\n": "",
    }
    env = {k: v for k, v in os.environ.items() if k not in ("DJANGO_SETTINGS_MODULE", "DEBUG")}
    env |= {"PATH": f"{venv / 'bin'}:{env['PATH']}", "PIP_QUIET": "1"}
    steps = steps_of_the_guide()
    assert len(steps) == 9
    replaced = set()
    for kind, text in steps:
        for theirs, own in ours.items():
            if theirs in text:
                text, _ = text.replace(theirs, own), replaced.add(theirs)
        if kind == "bash":
            subprocess.run(["bash", "-e", "-c", text], cwd=project, env=env, check=True)
            continue
        found = FILE.match(text)
        assert found is not None, text
        path = project / found[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text() if path.exists() and found[1].startswith("mysite") else ""
        path.write_text(f"{before}\n{text[found.end() :]}")
    assert replaced == set(ours), "the guide says all of that"

    python = str(venv / "bin" / "python")
    check = [python, "manage.py", "check", "--fail-level", "ERROR"]
    subprocess.run(check, cwd=project, env=env, check=True)
    server = subprocess.Popen(
        [python, "manage.py", "runserver", "--noreload", str(port)], cwd=project, env=env
    )
    wallet = Wallet(Account.create(), chain)
    chain.mint(wallet.account.address, 1_000_000)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/admin/login/", server)
        with browser() as started:
            first, second = Reader(started, url, wallet), Reader(started, url, wallet)
            page = first.open("/articles/bread/")
            expect(page.locator("h1")).to_have_text("Bread")
            assert "Flour" not in page.content()
            first.pay()
            expect(page.locator("main")).to_contain_text("Flour, water, salt, time.")
            expect(page.locator("[data-paywall-receipt]")).to_be_visible()
            second.open("/articles/bread/")
            second.page.get_by_role("button", name="I have already paid").click()
            expect(second.page.locator("main")).to_contain_text("Flour, water, salt, time.")
            for person in (first, second):
                person.close()
        told = subprocess.run(
            [python, "manage.py", "paywall_run", "--once"],
            cwd=project,
            env=env,
            check=True,
            capture_output=True,
            text=True,
        )
        assert "confirm: 1 confirmed" in told.stdout
    finally:
        server.kill()
        server.wait()
