"""The papers say what the code does."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest

from paywall import conf
from paywall.exceptions import SENTENCES, Code
from paywall.secret import Secret

ROOT = Path(__file__).resolve().parent.parent
PAPERS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def test_every_code_is_in_the_docs_and_has_a_sentence():
    listed = set(
        re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/reference/errors.md").read_text(), re.MULTILINE)
    )
    assert listed == {str(code) for code in Code}
    assert set(SENTENCES) == set(Code)


def test_every_setting_is_in_the_docs_with_its_default():
    text = (ROOT / "docs/reference/settings.md").read_text()
    rows = re.findall(r"^\| `([A-Z_]+)` \| `(.*?)` \|", text, re.MULTILINE)
    defaults = conf.read({})
    expected = {}
    for setting in fields(conf.Settings):
        value = getattr(defaults, setting.name)
        empty = value in ("", Secret())
        expected[setting.name.upper()] = '""' if empty else repr(value).replace("'", '"')
    assert dict(rows) == expected


def test_every_check_is_in_the_docs():
    code = "".join(path.read_text() for path in (ROOT / "paywall").rglob("*.py"))
    in_code = set(re.findall(r'id="(paywall\.[EW]\d+)"', code))
    text = (ROOT / "docs/reference/checks.md").read_text()
    assert in_code == set(re.findall(r"^\| `(paywall\.[EW]\d+)`", text, re.MULTILINE))


@pytest.mark.parametrize("paper", PAPERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(paper):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", paper.read_text()):
        if "://" not in target:
            assert (paper.parent / target).exists(), target


@pytest.mark.parametrize("paper", PAPERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_that_are_named_are_there(paper):
    if paper.name != "CHANGELOG.md":
        for named in re.findall(
            r"`((?:paywall|tests|benchmarks|site_demo)/[\w/]+\.py)`", paper.read_text()
        ):
            assert (ROOT / named).exists(), named


def test_the_tree_in_the_docs_is_the_tree():
    text = (ROOT / "docs/architecture.md").read_text()
    tree = text[text.index("## The tree") : text.index("Imports run one way")]
    named = set(re.findall(r"[a-z_]+\.py|[a-z_]+/", tree))
    there = {p.name for p in (ROOT / "paywall").glob("*.py")} - {"__init__.py", "apps.py"}
    rooms = {f"{p.name}/" for p in (ROOT / "paywall").iterdir() if (p / "__init__.py").exists()}
    assert there <= named
    assert rooms - {"migrations/"} <= named


def test_every_room_has_its_place_in_the_order_of_imports():
    text = (ROOT / "pyproject.toml").read_text()
    layers = text[text.index("layers = [") : text.index("]", text.index("layers = ["))]
    named = set(re.findall(r"paywall\.(\w+)", layers))
    there = {p.stem for p in (ROOT / "paywall").glob("*.py")} - {"__init__"}
    there |= {p.parent.name for p in (ROOT / "paywall").glob("*/__init__.py")}
    assert there - {"migrations", "schedule"} == named


BLOCKS = [
    pytest.param(block, id=f"{paper.relative_to(ROOT)}:{number}")
    for paper in PAPERS
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", paper.read_text(), re.DOTALL))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_code_in_the_docs_is_python_and_imports_what_there_is(block):
    tree = ast.parse(block)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("paywall"):
            if str(node.module).startswith("paywall.contrib.wagtail"):
                continue  # it needs Wagtail's own settings: tests/wagtail_site
            module = import_module(str(node.module))
            for alias in node.names:
                if not hasattr(module, alias.name):
                    import_module(f"{node.module}.{alias.name}")
