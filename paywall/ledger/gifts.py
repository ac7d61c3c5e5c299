"""Gift links: made, opened, taken back. What is signed cannot be guessed, and is counted here."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from django.core.signing import BadSignature, Signer
from django.db.models import F
from django.utils import timezone

from paywall import durable
from paywall.ledger import pass_cache
from paywall.ledger.passes import make_pass
from paywall.models import AccessPass, Gift

if TYPE_CHECKING:
    from paywall.models import Payment

PARAMETER = "gift"
LONGEST = 200
_SALT = "paywall.gift"


def link(gift: Gift) -> str:
    """The address to give away."""
    parts = urlsplit(gift.url)
    own = urlencode({PARAMETER: Signer(salt=_SALT).sign(gift.public_id)})
    return urlunsplit(parts._replace(query=f"{parts.query}&{own}" if parts.query else own))


def read(text: str) -> str | None:
    """The gift that a link names; None if we did not sign it."""
    if len(text) > LONGEST:
        return None
    try:
        return Signer(salt=_SALT).unsign(text)
    except BadSignature:
        return None


@durable.write
def give(
    payment: Payment, url: str, *, uses: int, seconds: float, most: int, by: Any = None
) -> Gift | None:
    """A link to what a payment opened; None where its reader has made as many as may be."""
    using, now = durable.alias(), timezone.now()
    # The pass's row is the lock.
    AccessPass.objects.using(using).select_for_update().get(payment=payment)
    if Gift.objects.using(using).filter(payment=payment).count() >= most:
        return None
    return Gift.objects.using(using).create(
        resource_id=payment.resource_id,
        url=url,
        payment=payment,
        by_id=by,
        uses=uses,
        created_at=now,
        expires_at=now + timedelta(seconds=seconds),
    )


@durable.write
def open_gift(public_id: str, resource_id: int, holder: str, seconds: int | None) -> bool:
    """Let one more reader in: a pass for that browser, for as long as the resource's own (seconds;
    None is for good) and no longer than the link. Of any number at once, no more than it is for."""
    using, now = durable.alias(), timezone.now()
    rows = Gift.objects.using(using).filter(
        public_id=public_id,
        resource_id=resource_id,
        revoked_at__isnull=True,
        expires_at__gt=now,
        used__lt=F("uses"),
    )
    if not rows.update(used=F("used") + 1):
        return False
    gift = Gift.objects.using(using).get(public_id=public_id)
    its = {"source": AccessPass.Source.GIFT, "gift": gift}
    make_pass(resource_id, holder, now, _until(gift, now, seconds), **its)
    return True


def _until(gift: Gift, now: datetime, seconds: int | None) -> datetime:
    return min(gift.expires_at, now + timedelta(seconds=seconds)) if seconds else gift.expires_at


@durable.write
def give_back(public_id: str, holder: str) -> None:
    """Nothing was delivered to that browser: the link is good for one more again."""
    using = durable.alias()
    gift = Gift.objects.using(using).get(public_id=public_id)
    found = AccessPass.objects.using(using).filter(gift=gift, holder=holder).order_by("-pk").first()
    if found is not None:
        pass_cache.close([(found.resource_id, holder)])
        found.delete(using=using)
        Gift.objects.using(using).filter(pk=gift.pk, used__gt=0).update(used=F("used") - 1)
