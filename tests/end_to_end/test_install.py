"""The built wheel in an empty Django project, with the README's own ten lines."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import requests

from site_demo.chain.local import free_port, wait_for

from .conftest import ROOT, SELLER
from .test_clients import official_python


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
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
