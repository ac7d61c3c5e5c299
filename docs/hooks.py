"""What MkDocs makes of this folder besides: pages of the reference that are read off the code, and
the papers of the project's root."""

from __future__ import annotations

import ast
import os
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PAPERS = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
}
"""Papers of the root, and what they are called in the site."""


def on_config(config: Any) -> Any:
    """`make docs-version` keeps one site a version, with a menu; alone a site has none."""
    if os.environ.get("DOCS_VERSIONS"):
        config.extra["version"] = {"provider": "mike"}
    return config


def on_files(files: Files, config: Any) -> Files:
    for paper, name in PAPERS.items():
        text = (ROOT / paper).read_text().replace("](docs/", "](")
        files.append(File.generated(config, name, content=_led(text, "")))
    for name, content in reference().items():
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    return _led(markdown, "../" * page.file.src_uri.count("/"))


SHIM = "https://unpkg.com/iframe-worker/shim"


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """What the theme would load from elsewhere, from our own folder."""
    return output.replace(SHIM, "../" * page.file.src_uri.count("/") + "assets/iframe-worker.js")


def on_post_template(output: str, **_: Any) -> str:
    return output.replace(SHIM, "assets/iframe-worker.js")


def _led(text: str, up: str) -> str:
    """Links to papers of the root lead to their pages; to other files, nowhere."""

    def lead(found: re.Match[str]) -> str:
        label, target, anchor = found["label"], found["target"], found["anchor"] or ""
        if target in PAPERS:
            return f"[{label}]({up}{PAPERS[target]}{anchor})"
        return label

    pattern = r"\[(?P<label>[^\]]+)\]\((?:\.\./)*(?P<target>%s)(?P<anchor>#[^)]*)?\)"
    others = r"LICENSE|\.github/[^)#]+|(?:paywall|tests|benchmarks|site_demo|examples)/[^)#]+"
    names = "|".join(map(re.escape, PAPERS))
    return re.sub(pattern % f"{names}|{others}", lead, text)


def reference() -> dict[str, str]:
    """Pages by name, from the code as it is."""
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
    return {
        "commands": commands(),
        "signals": signals(),
        "templates": templates(),
        "metrics": metrics(),
    }


def commands() -> str:
    from django.core.management import get_commands, load_command_class

    told = ["# Commands", "Each is `python manage.py NAME`; `--help` says the same.", ""]
    for name in sorted(n for n, app in get_commands().items() if app == "paywall"):
        command = load_command_class("paywall", name)
        told += [f"## {name}", "", command.help, ""]
        rows = []
        for action in command.create_parser("manage.py", name)._actions:
            is_ours = action.option_strings and action.dest not in DJANGOS
            if is_ours or not action.option_strings:
                names = ", ".join(f"`{one}`" for one in action.option_strings) or f"`{action.dest}`"
                help_ = (action.help or "").replace("|", "\\|") % {"default": action.default}
                rows.append(f"| {names} | {help_} |")
        if rows:
            told += ["| | |", "| --- | --- |", *rows, ""]
    return "\n".join(told)


DJANGOS = {
    *("help", "version", "verbosity", "settings", "pythonpath", "traceback", "no_color"),
    *("force_color", "skip_checks"),
}
"""Options that every command of Django's has."""


def signals() -> str:
    tree = ast.parse((ROOT / "paywall" / "signals.py").read_text())
    told = [
        "# Signals",
        "",
        f"{ast.get_docstring(tree)} [Examples](../extending.md#signals).",
        "",
        "| signal | when |",
        "| --- | --- |",
    ]
    for node, after in zip(tree.body, tree.body[1:], strict=False):
        is_signal = isinstance(node, ast.Assign) and "Signal" in ast.unparse(node.value)
        if is_signal and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            name = ast.unparse(node.targets[0])  # type: ignore[union-attr]
            told.append(
                f"| `paywall.signals.{name}` | {' '.join(str(after.value.value).split())} |"
            )
    return "\n".join(told)


def templates() -> str:
    """Tags, and the templates with the blocks that a site may fill."""
    from paywall.templatetags import paywall as library

    told = ["# Templates", "", "## Tags of `{% load paywall %}`", "", "| tag | |", "| --- | --- |"]
    for name, function in sorted(library.register.tags.items()):
        text = " ".join((function.__doc__ or "").split())
        told.append(f"| `{name}` | {text.replace('|', chr(92) + '|')} |")
    told += ["", "## Blocks", "", "Override a template, extend the one that it replaces, and fill:"]
    told += ["", "| template | blocks |", "| --- | --- |"]
    folder = ROOT / "paywall" / "templates"
    for path in sorted([*folder.glob("paywall/*.html"), *folder.glob("paywall/checkout/*.html")]):
        blocks = _blocks(path)
        if blocks:
            shown = ", ".join(f"`{block}`" for block in dict.fromkeys(blocks))
            told.append(f"| `{path.relative_to(folder)}` | {shown} |")
    return "\n".join(told)


def _blocks(path: Path) -> list[str]:
    """Its own, and those of what it extends."""
    text = path.read_text()
    own = re.findall(r"{% block (\w+) %}", text)
    around = re.search(r'{% extends "paywall/([^"]+)" %}', text)
    return own + (_blocks(ROOT / "paywall/templates/paywall" / around[1]) if around else [])


def metrics() -> str:
    told = ["# Metrics", "", "At `paywall/metrics/`, with [`METRICS_TOKEN`](settings.md).", ""]
    told += ["| metric | |", "| --- | --- |"]
    tree = ast.parse((ROOT / "paywall" / "reports" / "metrics.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and len(node.args) >= 2:
            texts = [a.value for a in node.args[:2] if isinstance(a, ast.Constant)]
            if len(texts) == 2 and str(texts[0]).startswith("paywall_"):
                told.append(f"| `{texts[0]}` | {texts[1]} |")
    return "\n".join(told)
