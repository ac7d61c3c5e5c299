"""What is sold, listed anew in each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from paywall.discovery import listing
from paywall.models import Resource


@pytest.fixture
def fresh_listing(db: None) -> Iterator[None]:
    """What the demo's code declares is not what is looked at."""
    Resource.objects.exclude(slug="declared").update(listed=False)
    listing.forget()
    yield
    listing.forget()
