"""People at the desk, and a shop that has sold something."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from paywall import ledger
from paywall.models import Payment, Receipt
from tests.helpers import BLOCK, claim


@pytest.fixture
def owner(db: None) -> Client:
    user = User.objects.create_superuser("owner", "owner@example.com", "x")
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def staff(db: None):
    """A client for somebody of one of the groups that `migrate` made."""

    def sign_in(*groups: str, name: str = "staff") -> Client:
        user = User.objects.create_user(name, f"{name}@example.com", "x", is_staff=True)
        user.groups.set(Group.objects.filter(name__in=groups))
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def sold(item):
    """Make a payment of some state; its receipt, or None."""

    def make(identity: str = "one", state: str = "confirmed", resource: Any = None, **changes: Any):
        payment, _ = claim(resource or item, identity)
        if state == "failed":
            ledger.failed(payment, "view_failed")
        elif state != "claimed":
            ledger.settling([payment], 60, "default")
            ledger.settled([payment], BLOCK.reference)
            ledger.delivered(payment)
            if state == "confirmed":
                ledger.confirmed([([payment], BLOCK)])
            elif state == "lost":
                ledger.lost(payment, "nothing_moved")
        if changes:
            Payment.objects.filter(pk=payment.pk).update(**changes)
            if "created_at" in changes:
                Receipt.objects.filter(payment=payment).update(issued_at=changes["created_at"])
        return Receipt.objects.filter(payment=payment).first()

    return make


def days_ago(number: float):
    return timezone.now() - timedelta(days=number)
