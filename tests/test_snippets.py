"""The docs' Python is run: imports, settings, decorators, classes, receivers, as they stand there.

What a page takes for granted of a reader's site (its models, its helpers) is made up here; what it
imports of ours is real. Functions are made, not called: that they do what the page says is for the
tests of what they use.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
import types
from typing import Any
from unittest.mock import MagicMock

import pytest
from django.test.utils import isolate_apps

from paywall.catalog import declarations
from tests.test_docs import ROOT

PAGES = sorted(
    page
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    if "```python" in page.read_text()
)
ELSEWHERE = re.compile(r"wagtail|sentry_sdk|^# \w+[/.]\S*py\n|^assert ", re.MULTILINE)
"""What has tests of its own: Wagtail's site, Sentry's, guides that are followed file by file by a
newcomer (test_install.py, test_tutorial.py, test_extending.py), and what a real receipt says."""


def _made_up() -> dict[str, Any]:
    from django.db import models
    from django.shortcuts import get_object_or_404, render
    from django.urls import include, path
    from django.views.generic import DetailView
    from ninja import NinjaAPI
    from rest_framework.decorators import action
    from rest_framework.permissions import IsAdminUser, IsAuthenticated
    from rest_framework.viewsets import ViewSet

    from site_demo.magazine.models import Article

    class LoginRequiredMixin:
        pass

    return {
        "models": models,
        "render": render,
        "get_object_or_404": get_object_or_404,
        "include": include,
        "path": path,
        "DetailView": DetailView,
        "action": action,
        "IsAdminUser": IsAdminUser,
        "IsAuthenticated": IsAuthenticated,
        "ViewSet": ViewSet,
        "LoginRequiredMixin": LoginRequiredMixin,
        "api": NinjaAPI(urls_namespace="docs"),
        "Article": Article,
        "article": Article(pk=1, slug="soup"),
        "q": "soup",
        "urlpatterns": [],
        "INSTALLED_APPS": [],
        "MIDDLEWARE": [],
        "DATABASES": {"default": {}},
    }


def blocks(page: Any) -> list[str]:
    found = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    return [block for block in found if not ELSEWHERE.search(block)]


def names_in(code: list[str]) -> set[str]:
    """All that a page uses; what it makes itself takes the place of what is made up."""
    nodes = [node for block in code for node in ast.walk(ast.parse(block))]
    return {node.id for node in nodes if isinstance(node, ast.Name)} - set(vars(builtins))


@pytest.mark.django_db
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_code_of_a_page_runs(page, monkeypatch):
    code, made_up = blocks(page), _made_up()
    module = types.ModuleType("tests.shop.a_page_of_the_docs")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(declarations, "_declared", {})
    for name in ("refunds.request", "ledger.open_order", "ledger.order_paid"):
        monkeypatch.setattr(f"paywall.{name}", MagicMock())
    site = vars(module) | {name: made_up.get(name, MagicMock(name=name)) for name in names_in(code)}
    with isolate_apps("tests.shop"):
        for number, block in enumerate(code):
            exec(compile(block, f"{page.name}, block {number}", "exec"), site)
