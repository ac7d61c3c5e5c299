"""Fixtures of pytest, which finds them by itself where this package is installed (with
pytest-django). Nothing is imported here before somebody uses one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from paywall.testing.client import PayingClient
    from paywall.testing.facilitator import Facilitator

INSTEAD = ("FACILITATORS", "FACILITATOR_TOKEN", "FACILITATOR_HEADERS", "GAS_KEY", "TREASURY_KEY")
"""Settings of a real site that a test's facilitator takes the place of."""


@pytest.fixture
def paywall_facilitator(settings: Any) -> Iterator[Facilitator]:
    """Who settles in a test, and the nodes that show it: `refuses()`, `is_down()`,
    `loses_its_answers()`, `works()`. Nothing leaves the machine."""
    from paywall.testing.facilitator import running

    with running() as facilitator:
        known = dict(getattr(settings, "PAYWALL", {}))
        kept = {key: value for key, value in known.items() if key not in INSTEAD}
        settings.PAYWALL = {
            **kept,
            "FACILITATOR_URL": facilitator.url,
            "RPC_URLS": facilitator.nodes,
        }
        yield facilitator


@pytest.fixture
def freeze_chain(
    paywall_facilitator: Facilitator,
) -> Callable[[], AbstractContextManager[None]]:
    """`with freeze_chain():` no block comes, so nothing that is settled can be confirmed."""
    return paywall_facilitator.chain.frozen


@pytest.fixture
def paid_client(db: None, paywall_facilitator: Facilitator) -> PayingClient:
    """Django's test client with a wallet: what answers 402 it pays, once. Where the site has no
    account to be paid to, it has one now."""
    from paywall.models import Account
    from paywall.testing import factories
    from paywall.testing.client import PayingClient

    if not Account.objects.filter(enabled=True).exists():
        factories.make_account()
    return PayingClient()
