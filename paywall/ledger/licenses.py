"""License tokens (RSL's Open License Protocol): made, used once or for a time, and looked at."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import F, Q
from django.utils import timezone

from paywall import durable
from paywall.exceptions import StaleMove
from paywall.models import LicenseClient, LicenseToken, Payment
from paywall.models.payments import State

if TYPE_CHECKING:
    from paywall.catalog.offers import ForSale

PREFIX = "rsl_"
GOOD_FOR = timedelta(days=1)
"""A token for one request, or by agreement; the client gets another one then."""

FOR_GOOD = timedelta(days=36_500)
"""A token for what a pass is for good."""

_NO_MORE = (State.FAILED, State.LOST)


def hash_of(text: str) -> str:
    """What the database knows of a token, or of a client's secret."""
    return hashlib.sha256(text.encode()).hexdigest()


def client(client_id: str, secret: str) -> LicenseClient | None:
    """The client that shows its secret."""
    rows = LicenseClient.objects.using(durable.alias()).filter(client_id=client_id, active=True)
    found = rows.first()
    if found is None or not secrets.compare_digest(found.secret_hash, hash_of(secret)):
        return None
    return found


def make_secret(new: LicenseClient) -> str:
    """A secret for a client that is not saved yet, told once."""
    secret = secrets.token_urlsafe(32)
    new.secret_hash = hash_of(secret)
    return secret


@durable.write
def new_secret(found: LicenseClient) -> str:
    """Another secret for a client, told once; the one before is good no more."""
    secret = secrets.token_urlsafe(32)
    rows = LicenseClient.objects.using(durable.alias()).filter(pk=found.pk)
    rows.update(secret_hash=hash_of(secret))
    durable.set_fields(found, secret_hash=hash_of(secret))
    return secret


def has_agreement(found: LicenseClient, resource_id: int) -> bool:
    """Whether its tokens for a resource cost nothing."""
    return found.agreed.using(durable.alias()).filter(pk=resource_id).exists()


@durable.write
def issue(
    found: LicenseClient, sale: ForSale, payment_id: int | None, *, by_agreement: bool = False
) -> tuple[str, LicenseToken]:
    """A token, and its row. It opens what a payment would: one request, or for the time of a
    pass; by agreement any number for a day."""
    text = f"{PREFIX}{secrets.token_urlsafe(32)}"
    if by_agreement or sale.is_by_request:
        good_for = GOOD_FOR
    else:
        good_for = timedelta(seconds=sale.pass_seconds) if sale.pass_seconds else FOR_GOOD
    token = LicenseToken.objects.using(durable.alias()).create(
        secret_hash=hash_of(text),
        client=found,
        resource_id=sale.resource_id,
        payment_id=payment_id,
        uses_left=1 if sale.is_by_request and not by_agreement else None,
        expires_at=timezone.now() + good_for,
    )
    return text, token


def find(text: str) -> LicenseToken | None:
    """A token that is good now; None for any other. One query, by an index."""
    rows = LicenseToken.objects.using(durable.alias()).filter(secret_hash=hash_of(text))
    found = rows.select_related("client", "payment").first()
    return found if found is not None and _is_good(found) else None


def _is_good(token: LicenseToken) -> bool:
    if token.revoked_at is not None or token.expires_at <= timezone.now():
        return False
    if token.uses_left == 0 or not token.client.active:
        return False
    payment = token.payment
    if payment is None:
        return True
    return payment.delivered_at is not None and payment.state not in _NO_MORE


@durable.write
def use(token: LicenseToken) -> None:
    """One request was served. Raises `StaleMove` where another one took the last use."""
    rows = LicenseToken.objects.using(durable.alias()).filter(pk=token.pk, revoked_at=None)
    if token.uses_left is None:
        return
    if not rows.filter(uses_left__gt=0).update(uses_left=F("uses_left") - 1):
        raise StaleMove(f"token {token.pk} is used up")


@durable.write
def revoke(which: Q) -> int:
    """Tokens that open nothing any more. Returns how many."""
    rows = LicenseToken.objects.using(durable.alias()).filter(which, revoked_at=None)
    return rows.update(revoked_at=timezone.now())


def revoke_of(payment: Payment) -> int:
    """Those that a payment has paid for: it was given back."""
    return revoke(Q(payment=payment))


@durable.write
def restore_of(payment: Payment) -> None:
    """They are good again: it was not given back after all."""
    rows = LicenseToken.objects.using(durable.alias()).filter(payment=payment)
    rows.update(revoked_at=None)


@durable.write
def forget_old(most: int = 1_000) -> int:
    """Delete tokens that are over."""
    using = durable.alias()
    old = LicenseToken.objects.using(using).filter(expires_at__lt=timezone.now() - GOOD_FOR)
    keys = list(old.values_list("pk", flat=True)[:most])
    return LicenseToken.objects.using(using).filter(pk__in=keys).delete()[0]
