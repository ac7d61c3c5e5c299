"""What the rooms may not know of each other, as far as import-linter cannot see it."""

from __future__ import annotations

import ast
import re

import pytest

from tests.test_docs import ROOT

ONE_KIND_OF_MONEY = re.compile(r"eip|evm|0x|block|gas", re.IGNORECASE)

SAID = {
    "paywall/ledger/receipts.py": {"block"},  # a member of the receipt's JSON
    "paywall/ledger/receipt_signature.py": {"eip191"},  # how receipts are signed
    "paywall/protocols/x402/v1_names.py": {"eip155"},  # v1's names of CAIP-2 networks
    "paywall/protocols/mpp/charges.py": {"eip155", "evm", "0x"},  # MPP's names of methods
}
"""Words of the wire, which decide nothing."""


@pytest.mark.parametrize("room", ["entry", "ledger", "protocols", "catalog"])
def test_no_room_of_the_gate_or_the_ledger_decides_by_one_kind_of_money(room):
    for path in (ROOT / "paywall" / room).rglob("*.py"):
        name = str(path.relative_to(ROOT))
        words = _words(ast.parse(path.read_text()))
        for said in SAID.get(name, set()):
            words = {word.replace(said, "") for word in words}
        found = {
            w
            for w in words
            if ONE_KIND_OF_MONEY.search(re.sub("receipt", "", w, flags=re.IGNORECASE))
        }
        assert not found, name


def _words(tree: ast.AST) -> set[str]:
    """Every name and every string in code, but not what docstrings say."""
    docs = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node not in docs and isinstance(node.value, str):
            found.add(node.value)
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_rails_are_known_by_name_alone():
    """Nothing outside of a rail imports it: the registry has its dotted path."""
    rails = [path.name for path in (ROOT / "paywall" / "rails").iterdir() if path.is_dir()]
    for path in (ROOT / "paywall").rglob("*.py"):
        for rail in {*rails} - {"__pycache__"}:
            if f"rails/{rail}" not in str(path):
                imported = re.findall(
                    rf"^\s*(?:from|import) (paywall\.rails\.{rail}\S*)",
                    path.read_text(),
                    re.MULTILINE,
                )
                assert not imported, path
