"""A release: reproducible, taken by twine, listed; and published by a workflow without a token."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import release

from .conftest import ROOT

WORKFLOW: Any = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    release.is_reproducible(folder)
    return Path(folder)


def test_twine_takes_it(dist):
    release.twine(dist)


def test_an_archive_that_twine_would_not_take_is_found(tmp_path):
    broken = tmp_path / "django_paywall-0.whl"
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr("nothing", "")
    with pytest.raises(SystemExit):
        release.twine(tmp_path)


def test_the_sdist_has_what_the_wheel_is_built_from(dist):
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    assert any(name.endswith("paywall/py.typed") for name in names)
    assert any(name.endswith("LICENSE") for name in names)


def test_all_that_it_brings_is_listed(dist):
    (wheel,) = dist.glob("*.whl")
    found = json.loads(release.list_all(wheel).read_text())
    assert found["bomFormat"] == "CycloneDX"
    names = {part["name"].lower() for part in found["components"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[<>=]", one)[0] for one in project["dependencies"]}
    assert declared <= {name.replace("_", "-") for name in names}


def test_an_audit_tells_faults_from_being_offline(dist, monkeypatch, tmp_path):
    sbom = tmp_path / "sbom.json"
    sbom.write_text(json.dumps({"components": [{"name": "django", "version": "1.0"}]}))

    def says(code: int, text: str):
        done = subprocess.CompletedProcess([], code, text, "")
        monkeypatch.setattr(release, "run", lambda *_, **__: done)

    says(0, "No known vulnerabilities found")
    assert release.audit(sbom) == ""
    says(1, "django 1.0 PYSEC-1")
    assert "PYSEC-1" in release.audit(sbom)
    says(1, "requests.exceptions.ConnectionError: Max retries exceeded")
    with pytest.raises(ConnectionError):
        release.audit(sbom)


def test_the_workflow_publishes_without_a_token():
    publish = WORKFLOW["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert WORKFLOW["permissions"] == {"contents": "read"}
    text = (ROOT / ".github/workflows/release.yml").read_text()
    assert "secrets." not in text
    assert any("pypa/gh-action-pypi-publish" in str(step.get("uses")) for step in publish["steps"])
    steps = [step.get("run", "") for step in WORKFLOW["jobs"]["build"]["steps"]]
    (target,) = [run.split()[1] for run in steps if run.startswith("make ")]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
