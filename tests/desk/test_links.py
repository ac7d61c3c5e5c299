"""Whoever is at the desk, no link on a page that they may see ends in "you may not"."""

from __future__ import annotations

import re
from html import unescape

import pytest

from paywall.models import Alert, Resource
from paywall.reports import rollups
from paywall.roles import ROLES

pytestmark = [pytest.mark.django_db, pytest.mark.matrix]

LINK = re.compile(r'<a[^>]+href="([^"#]+)"')
MOST = 400
NOT_FOLLOWED = ("/admin/logout/", "/admin/jsi18n/", "http", "mailto:", "?", "data:")


@pytest.mark.parametrize("role", ROLES)
def test_no_link_ends_in_a_refusal(staff, sold, make_resource, role):
    sold("one")
    sold("two", state="lost")
    sold("three", state="failed")
    make_resource("ruled", path="/archive/**")
    Alert.objects.create(key="x", kind="lost", title="t", text="t")
    rollups.rebuild()
    client = staff(role)
    to_do, refused = ["/admin/", "/dashboard/"], []
    seen: set[str] = set()
    while to_do and len(seen) < MOST:
        path = to_do.pop()
        if path in seen:
            continue
        seen.add(path)
        response = client.get(path)
        if response.status_code == 403:
            refused.append(path)
        if response.status_code != 200 or "html" not in response.headers["Content-Type"]:
            continue
        links = map(unescape, LINK.findall(response.content.decode()))
        to_do += [link for link in links if link[0] == "/" and not link.startswith(NOT_FOLLOWED)]
    assert sorted({re.sub(r"[0-9]+", "N", path) for path in refused}) == []
    assert len(seen) > 20, "it has seen something"
    assert Resource.objects.exists()
