"""Run by `tests/test_doors.py`: Django shows a flat page in the place of a 404."""

from __future__ import annotations

import pytest
from django.contrib.flatpages.models import FlatPage
from django.contrib.sites.models import Site
from django.test import Client

from tests.odd.views import SECRET

pytestmark = pytest.mark.django_db


def test_a_flat_page_is_sold(make_resource, buyer, facilitator):
    site, _ = Site.objects.get_or_create(pk=1, defaults={"domain": "testserver", "name": "x"})
    flat = FlatPage.objects.create(
        url="/pages/secret/", title="x", content=SECRET, template_name="flat.html"
    )
    flat.sites.add(site)
    assert SECRET in Client().get("/pages/secret/").content.decode()
    make_resource("rule", path="/pages/**")
    challenge = Client().get("/pages/secret/")
    assert (challenge.status_code, SECRET in challenge.content.decode()) == (402, False)
    paid = Client().get("/pages/secret/", headers=buyer.pays(challenge))
    assert (paid.status_code, SECRET in paid.content.decode()) == (200, True)
    assert Client().get("/pages/none/").status_code == 404
