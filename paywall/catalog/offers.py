"""Resource + Price + Account -> offers and challenge bytes, kept for a second at most.

A request that brings no payment is answered from here without a query.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.db.models.signals import post_delete, post_save
from django.utils import timezone

from paywall import conf, durable
from paywall.exceptions import Code, NotForSale, Refused
from paywall.models import Account, Audience, Price, Resource
from paywall.protocols import registry as protocols
from paywall.protocols.base import Goods
from paywall.protocols.challenge import Challenge
from paywall.rails import registry as rails
from paywall.rails.base import Reads
from paywall.vocabulary import Credential, Offer

log = logging.getLogger(__name__)

Reference = str | int
"""A resource by slug (`str`) or primary key (`int`)."""

MAX_CACHED = 10_000

_BY_REQUEST = Resource.Access.REQUEST.value


@dataclass(frozen=True, slots=True)
class ForSale:
    """A resource as it is sold now, with everything that answering a request takes."""

    resource_id: int
    slug: str
    title: str
    description: str
    mime_type: str
    policy: str
    access: str
    pass_seconds: int | None
    offers: tuple[Offer, ...]
    former_offers: tuple[tuple[Offer, float], ...]
    """Offers that were made before and can be taken until a time (Unix seconds)."""
    challenge: Challenge
    stale_at: float
    """On the monotonic clock."""
    tiers: tuple[Tier, ...] = ()
    """What audiences pay instead of everyone's price."""
    _combined: dict[tuple[int, ...], ForSale] = field(default_factory=dict, compare=False)

    @property
    def is_by_request(self) -> bool:
        """Whether a payment opens it once, and nothing stays open."""
        return self.access == _BY_REQUEST

    def cheapest(self, tiers: tuple[int, ...]) -> ForSale:
        """How it is sold to who belongs to some of the tiers, by their places: in each currency at
        the lowest price. All their other offers can be taken too, without being made."""
        found = self._combined.get(tiers)
        if found is None:
            found = self._combined[tiers] = self._combine([self.tiers[at] for at in tiers])
        return found

    def _combine(self, tiers: list[Tier]) -> ForSale:
        sources = [self.offers, *(tier.sale.offers for tier in tiers if tier.sale is not None)]
        best: dict[str, tuple[Offer, ...]] = {}
        for offers in sources:
            for currency in dict.fromkeys(offer.currency for offer in offers):
                own = tuple(offer for offer in offers if offer.currency == currency)
                if currency not in best or own[0].price < best[currency][0].price:
                    best[currency] = own
        chosen = tuple(offer for own in best.values() for offer in own)
        former = list(self.former_offers)
        for tier in tiers:
            former += tier.sale.former_offers if tier.sale is not None else ()
        others = [offer for offers in sources for offer in offers if offer not in chosen]
        former += [(offer, math.inf) for offer in others]
        goods = Goods(self.title, self.description, self.mime_type)
        return replace(
            self,
            offers=chosen,
            former_offers=tuple(former),
            challenge=protocols.challenge(goods, chosen),
            tiers=(),
            _combined={},
        )


@dataclass(frozen=True, slots=True)
class Free:
    """So many free requests for each holder."""

    resource_id: int
    audience_id: int
    uses: int
    per: str
    every: str
    balance: Decimal | None = None
    """What a wallet must have, in the currency."""
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Tier:
    """How a resource is sold to an audience."""

    kind: str
    group_id: int | None
    coupon: str
    hook: str
    sale: ForSale | None
    """None where the audience has free requests and no other price of its own."""
    free: tuple[Free, ...]


_cache: dict[Reference, ForSale] = {}
_lock = threading.Lock()


def peek(reference: Reference) -> ForSale | None:
    """What is kept of a resource, if it is fresh enough to be sold from."""
    found = _cache.get(reference)
    return found if found is not None and time.monotonic() < found.stale_at else None


def load(reference: Reference) -> ForSale:
    """A resource from the database, kept for a while. Raises `NotForSale`."""
    load_patiently = durable.read(_load)
    started = time.monotonic()
    found = load_patiently(reference, started + conf.get().cache_seconds)
    with _lock:
        _cache.pop(reference, None)
        while len(_cache) >= MAX_CACHED:
            del _cache[next(iter(_cache))]
        _cache[reference] = found
    return found


def forget(**_: Any) -> None:
    """Keep nothing: the next request reads the database."""
    with _lock:
        _cache.clear()


def match(sale: ForSale, credential: Credential, now: float) -> Offer:
    """The offer of ours that a credential takes. Raises `Refused`."""
    offers = [*sale.offers, *(offer for offer, until in sale.former_offers if now <= until)]
    if credential.takes is not None:
        offer = next(filter(credential.takes, offers), None)
    else:
        offer = _picked(credential, offers)
    if offer is None:
        known = rails.with_scheme(credential.scheme)
        raise Refused(Code.NO_MATCHING_OFFER if known else Code.UNSUPPORTED_SCHEME)
    return offer


def _picked(credential: Credential, offers: list[Offer]) -> Offer | None:
    """Where the protocol does not say which offer is taken, the rail sees it."""
    for rail in rails.with_scheme(credential.scheme):
        reads = rails.able(rail.name, Reads)
        own = [offer for offer in offers if offer.rail == rail.name]
        if reads is not None and own and (offer := reads.pick(credential, own)) is not None:
            return offer
    return None


def reader(rail: str) -> Reads:
    """The rail of an offer of ours that a credential takes."""
    reads = rails.able(rail, Reads)
    if reads is None:
        raise Refused(Code.UNSUPPORTED_SCHEME)
    return reads


def identities(credential: Credential) -> list[str]:
    """All that a credential can be known by, on whatever account we were ever paid. Queries the
    database. Raises `Refused`."""
    found: list[str] = []
    for rail in rails.with_scheme(credential.scheme):
        reads = rails.able(rail.name, Reads)
        if reads is None:
            continue
        accounts = Account.objects.using(durable.alias()).filter(
            rail=rail.name, network=credential.network
        )
        terms = [account.terms for account in accounts]
        found += reads.identities(credential, terms) if terms else []
    return found


def _load(reference: Reference, stale_at: float) -> ForSale:
    using = durable.alias()
    by = {"slug": reference} if isinstance(reference, str) else {"pk": reference}
    resource = Resource.objects.using(using).filter(**by).first()
    if resource is None:
        raise NotForSale(f"There is no resource {reference!r}.")
    if not resource.active:
        raise NotForSale(f"Resource {resource.slug!r} is not active.")

    now = timezone.now()
    offer_timeout = timedelta(seconds=conf.get().offer_timeout)
    since = now - offer_timeout
    accounts = list(Account.objects.using(using).filter(Q(enabled=True) | Q(disabled_at__gt=since)))
    prices = _prices(resource, now, since)
    for_everyone = [(p, until) for p, until in prices if p.audience_id is None]
    sale = _for_sale(resource, for_everyone, accounts, stale_at)
    if not sale.offers:
        raise NotForSale(
            f"Resource {resource.slug!r} cannot be paid: it needs a price, and an enabled account "
            "in the price's currency."
        )
    tiers = _tiers(resource, prices, accounts, stale_at)
    return replace(sale, tiers=tiers) if tiers else sale


def _for_sale(
    resource: Resource,
    prices: list[tuple[Price, datetime | None]],
    accounts: list[Account],
    stale_at: float,
) -> ForSale:
    """A resource at some prices; there may be no offer among them."""
    offer_timeout = timedelta(seconds=conf.get().offer_timeout)
    current: dict[int, list[Offer]] = defaultdict(list)
    former = []
    for price, superseded_at in prices:
        for account in accounts:
            offer = _offer(price, account, resource.policy)
            if offer is None:
                continue
            ended = min((t for t in (superseded_at, account.disabled_at) if t), default=None)
            if ended is None:
                current[account.order].append(offer)
            else:
                former.append((offer, (ended + offer_timeout).timestamp()))
    offers = tuple(offer for order in sorted(current) for offer in current[order])
    goods = Goods(resource.title, resource.description, resource.mime_type)
    return ForSale(
        resource_id=resource.pk,
        slug=resource.slug,
        title=resource.title,
        description=resource.description,
        mime_type=resource.mime_type,
        policy=resource.policy,
        access=resource.access,
        pass_seconds=resource.pass_seconds,
        offers=offers,
        former_offers=tuple(former),
        challenge=protocols.challenge(goods, offers),
        stale_at=stale_at,
    )


def _tiers(
    resource: Resource,
    prices: list[tuple[Price, datetime | None]],
    accounts: list[Account],
    stale_at: float,
) -> tuple[Tier, ...]:
    """What each audience pays; in currencies in which it has no price, what everyone does."""
    now = timezone.now()
    since = now - timedelta(seconds=conf.get().offer_timeout)
    audiences = {p.audience for p, _ in prices if p.audience is not None}
    tiers = []
    for audience in sorted(audiences, key=lambda audience: audience.pk):
        own = [(p, until) for p, until in prices if p.audience_id == audience.pk]
        ended = audience.ended_at
        if (ended is not None and ended <= now) or audience.is_used_up:
            if ended is None or ended > since:
                tiers.append(_ended_tier(resource, audience, own, accounts, stale_at))
            continue
        paid = [(p, until) for p, until in own if p.amount]
        currencies = {p.currency for p, until in paid if until is None}
        others = [
            (p, until)
            for p, until in prices
            if p.audience_id is None and p.currency not in currencies
        ]
        free = tuple(
            Free(
                resource.pk,
                audience.pk,
                p.free_uses,
                p.free_per,
                p.free_every,
                p.free_balance,
                p.currency,
            )
            for p, until in own
            if p.free_uses and until is None
        )
        sale = _for_sale(resource, paid + others, accounts, stale_at) if currencies else None
        tiers.append(_tier(audience, sale, free))
    return tuple(tiers)


def _tier(audience: Audience, sale: ForSale | None, free: tuple[Free, ...]) -> Tier:
    return Tier(audience.kind, audience.group_id, audience.coupon, audience.hook, sale, free)


def _ended_tier(
    resource: Resource,
    audience: Audience,
    prices: list[tuple[Price, datetime | None]],
    accounts: list[Account],
    stale_at: float,
) -> Tier:
    """What an audience paid that ended a short while ago: nobody is offered it, and who was may
    still take it."""
    ended = audience.ended_at or timezone.now()
    own: list[tuple[Price, datetime | None]] = [
        (p, min(until or ended, ended)) for p, until in prices if p.amount
    ]
    return _tier(audience, _for_sale(resource, own, accounts, stale_at), ())


def _prices(
    resource: Resource, now: datetime, since: datetime
) -> list[tuple[Price, datetime | None]]:
    """Prices in force at some time since, newest first, with when each was superseded."""
    prices = Price.objects.using(resource._state.db).filter(resource=resource)
    found = (
        prices.in_force(since) | prices.filter(valid_from__gt=since, valid_from__lte=now)
    ).select_related("audience")
    result: list[tuple[Price, datetime | None]] = []
    newest: dict[tuple[int | None, str], Price] = {}
    for price in found.order_by("-valid_from", "-pk"):
        key = price.audience_id, price.currency
        newer = newest.get(key)
        result.append((price, newer.valid_from if newer else None))
        newest[key] = price
    return result


def _offer(price: Price, account: Account, policy: str) -> Offer | None:
    """Price x account, or None where the one cannot be paid with the other."""
    if price.currency != account.currency or not price.amount:
        return None
    amount = account.atomic(price.amount)
    if amount is None:
        log.warning("Price %s is finer than the unit of %s: not offered there", price, account)
        return None
    rail = rails.all_().get(account.rail)
    if rail is None:
        log.error("Account %s is on a rail that the settings do not know: not offered", account.pk)
        return None
    scheme, terms = rail.offered(account)
    return Offer(
        rail=rail.name,
        scheme=scheme,
        network=account.network,
        amount=amount,
        timeout=conf.get().offer_timeout,
        terms=terms,
        account_id=account.pk,
        price_id=price.pk,
        price=price.amount,
        currency=price.currency,
        symbol=account.symbol,
        decimals=account.decimals,
        for_coupon=price.audience is not None and price.audience.kind == Audience.Kind.COUPON,
        upfront=policy == Resource.Policy.BEFORE,
    )


for _model in (Resource, Price, Account, Audience):
    post_save.connect(forget, sender=_model, dispatch_uid=f"paywall.offers.{_model.__name__}")
    post_delete.connect(forget, sender=_model, dispatch_uid=f"paywall.offers.{_model.__name__}")
