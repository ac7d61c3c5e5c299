"""What a reader is told on the 402 besides the price: about free pages, and coupons."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from paywall.catalog import pricing

pytestmark = pytest.mark.django_db

PERSON = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}


def test_a_reader_is_told_when_the_next_free_page_comes(item, settings):
    settings.TIME_ZONE = "UTC"
    pricing.set_free(item, 1, "USD", free_per="address", free_every="day", by=None)
    reader = Client()
    assert reader.get("/item/", headers=PERSON).status_code == 200
    page = reader.get("/item/", headers=PERSON)
    tomorrow = timezone.now() + timedelta(days=1)
    assert page.status_code == 402
    assert f"The next free page is there on {tomorrow:%A} at 00:00 UTC." in page.content.decode()


def test_who_was_never_free_is_told_nothing(item):
    assert "next free page" not in Client().get("/item/", headers=PERSON).content.decode()


def test_a_coupon_that_does_nothing_is_answered(item):
    audience = pricing.named("coupon", "Spring", by=None, coupon="SPRING26")
    pricing.set_price(item, Decimal("0.005"), "USD", by=None, audience=audience)
    said = "The coupon makes this no cheaper"
    assert said in Client().get("/item/?coupon=SPRING", headers=PERSON).content.decode()
    assert said not in Client().get("/item/?coupon=SPRING26", headers=PERSON).content.decode()
    assert said not in Client().get("/item/", headers=PERSON).content.decode()
