"""The documentation as a site: built strictly, and read from the folder, without a server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

from paywall import signals

from .browser import browser
from .conftest import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return Path(folder)


def test_every_paper_is_a_page_and_every_picture_is_there(site):
    papers = {
        p.relative_to(ROOT / "docs").with_suffix(".html") for p in (ROOT / "docs").rglob("*.md")
    }
    assert papers <= {p.relative_to(site) for p in site.rglob("*.html")}
    for page in site.rglob("*.html"):
        for source in re.findall(r'<img [^>]*src="([^"]+)"', page.read_text()):
            assert (page.parent / source).exists(), (page.name, source)


def test_nothing_is_loaded_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', text), page.name


def test_the_reference_is_read_off_the_code(site):
    text = (site / "reference/signals.html").read_text()
    for name in vars(signals):
        if name.startswith("payment_"):
            assert f"paywall.signals.{name}" in text
    commands = (site / "reference/commands.html").read_text()
    for path in (ROOT / "paywall/management/commands").glob("paywall_*.py"):
        assert f'id="{path.stem}"' in commands
    assert "paywall_settle_seconds" in (site / "reference/metrics.html").read_text()
    templates = (site / "reference/templates.html").read_text()
    assert "paywall_free_left" in templates
    assert "paywall/payment_required.html" in templates


def test_a_search_needs_no_server(site):
    with browser() as started:
        page = started.new_page()
        page.goto(f"file://{site}/index.html")
        page.keyboard.press("/")
        page.keyboard.type("reorganisation", delay=20)
        expect(page.locator(".md-search-result__item").first).to_be_visible()
        expect(page.locator(".md-search-result")).to_contain_text("Settlement")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_light_and_dark(site, scheme):
    with browser() as started:
        page = started.new_page(color_scheme=scheme, viewport={"width": 390, "height": 844})
        page.goto(f"file://{site}/architecture.html")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", background)[:3])) > 380) == (scheme == "light")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, "nothing hangs out of a phone"
        pictures = ROOT / "var" / "pictures"
        pictures.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=pictures / f"docs-{scheme}.png")


def test_versions_stand_beside_each_other(tmp_path):
    """In a clone: `make docs-version` writes to a branch of its own."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    for path in ("docs", "mkdocs.yml"):  # as they are here, committed or not
        subprocess.run(["cp", "-r", str(ROOT / path), str(clone)], check=True)
    author = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.com"}
    author |= {"GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.com"}
    env = {**os.environ, **author, "NO_MKDOCS_2_WARNING": "1", "DOCS_VERSIONS": "1"}
    bin_ = Path(sys.executable).parent
    env["PATH"] = f"{bin_}:{env['PATH']}"
    mike = str(bin_ / "mike")
    for version in ("0.1", "0.2"):
        subprocess.run(
            [mike, "deploy", "--update-aliases", version, "latest"],
            cwd=clone,
            env=env,
            check=True,
            capture_output=True,
        )
    listed = subprocess.run(
        ["git", "show", "gh-pages:versions.json"], cwd=clone, check=True, capture_output=True
    )
    found = json.loads(listed.stdout)
    assert [(one["version"], one["aliases"]) for one in found] == [("0.2", ["latest"]), ("0.1", [])]
