"""Resource + Price + Account -> offers and challenge bytes, kept for a second at most.

A request that brings no payment is answered from here without a query.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import connections
from django.db.models import prefetch_related_objects
from django.db.models.signals import post_delete, post_save
from django.utils import timezone

from paywall import conf, durable, taxes
from paywall.catalog import interfaces, sandbox
from paywall.exceptions import Code, NobodySettles, NotForSale, Refused
from paywall.interface import Interface
from paywall.memory import Bounded
from paywall.models import Account, Audience, Meter, Price, PricedMixin, Resource, SoldBy
from paywall.models.literals import Literal
from paywall.protocols import registry as protocols
from paywall.protocols.base import Goods
from paywall.protocols.challenge import Challenge
from paywall.rails import registry as rails
from paywall.rails.base import Extends, HasMinimum, Meters, Rail, Reads, SignsIn
from paywall.vocabulary import Credential, Offer

log = logging.getLogger(__name__)

Reference = str | int
"""A resource by slug (`str`) or primary key (`int`)."""

MAX_CACHED = 10_000

_BY_REQUEST = Resource.Access.REQUEST.value
_TOP_UP = Resource.Access.BALANCE.value
_OWN_HEADER = Resource.PaymentHeader.OWN.value
_BY_WALLET = Price.FreePer.WALLET.value


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
    prices: Mapping[str, Decimal]
    """What it costs, by currency, whether or not so little can be paid by itself."""
    former_offers: tuple[tuple[Offer, float], ...]
    """Offers that were made before and can be taken until a time (Unix seconds)."""
    goods: Goods
    """What its challenge says of it besides."""
    challenge: Challenge
    stale_at: float
    """On the monotonic clock."""
    sign_in: tuple[str, ...] = ()
    """Networks whose wallets may sign in for it."""
    bundle_id: int | None = None
    """A resource whose passes open this one too."""
    meter: Metering | None = None
    """How some of it is free each month."""
    by_use: bool = False
    """Whether its price is the most, and the view says what a request used."""
    tiers: tuple[Tier, ...] = ()
    """What audiences pay instead of everyone's price."""
    own_prices: Mapping[str, Decimal] = field(default_factory=dict)
    """Where the site's adapter has another price for the request: by currency."""
    _combined: dict[tuple[int, ...], ForSale] = field(default_factory=dict, compare=False)
    _repriced: Bounded[Any, ForSale] = field(default_factory=Bounded, compare=False)

    @property
    def is_by_request(self) -> bool:
        """Whether a payment opens it once, and nothing stays open."""
        return self.access == _BY_REQUEST

    @property
    def is_top_up(self) -> bool:
        """Whether its price goes onto the buyer's balance."""
        return self.access == _TOP_UP

    @property
    def opened_by(self) -> tuple[int, ...]:
        """The resources whose passes open it."""
        own = (self.resource_id,) if self.opens_pass else ()
        return own if self.bundle_id is None else (*own, self.bundle_id)

    @property
    def opens_pass(self) -> bool:
        """Whether who bought it may come back."""
        return not self.is_by_request and not self.is_top_up

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
        prices = dict(self.prices)
        for tier in tiers:
            for currency, price in (tier.sale.prices if tier.sale is not None else {}).items():
                prices[currency] = min(price, prices.get(currency, price))
        return self.offering(chosen, prices, tuple(former), self.own_prices)

    def offering(
        self,
        offers: tuple[Offer, ...],
        prices: Mapping[str, Decimal],
        former: tuple[tuple[Offer, float], ...],
        own_prices: Mapping[str, Decimal],
    ) -> ForSale:
        """The same by other offers, to a request that is told no others."""
        return replace(
            self,
            offers=offers,
            prices=prices,
            own_prices=own_prices,
            former_offers=former,
            challenge=protocols.challenge(self.goods, offers),
            tiers=(),
            _combined={},
            _repriced=Bounded(),
        )


def at(sale: ForSale, prices: Mapping[str, Decimal]) -> ForSale:
    """The same at other prices, by currency, for one request: its former offers are not taken any
    more. May query the database. Raises `NotForSale` where nobody takes such a price."""
    if not prices:
        return sale
    made_of = tuple((offer.account_id, offer.price_id) for offer in sale.offers)
    key = made_of, tuple(sorted(prices.items()))
    found = sale._repriced.get(key)
    if found is None:
        found = sale._repriced[key] = _at(sale, prices)
    return found


def _at(sale: ForSale, prices: Mapping[str, Decimal]) -> ForSale:
    keys = {offer.account_id for offer in sale.offers}
    accounts = Account.objects.using(durable.alias()).in_bulk(keys)
    chosen = []
    for offer in sale.offers:
        price = prices.get(offer.currency)
        account = accounts.get(offer.account_id)
        if price is None:
            chosen.append(offer)
        elif account is not None and (amount := _payable(account, price)) is not None:
            chosen.append(replace(offer, amount=amount, price=price))
    if not chosen:
        raise NotForSale(
            f"Resource {sale.slug!r} cannot be paid at {dict(prices)}: no account takes "
            "so much, or so little.",
            sale.resource_id,
        )
    former = tuple(one for one in sale.former_offers if one[0].currency not in prices)
    return sale.offering(tuple(chosen), {**sale.prices, **prices}, former, dict(prices))


@dataclass(frozen=True, slots=True)
class Metering:
    """A metered month, as `Meter` has it."""

    id: int
    uses: int
    per: str
    most_of_network: int


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
    bots: str
    bot: str
    sale: ForSale | None
    """None where the audience has free requests and no other price of its own."""
    free: tuple[Free, ...]


_cache: dict[Reference, ForSale] = {}
_lock = threading.Lock()


def peek(reference: Reference) -> ForSale | None:
    """What is kept of a resource, if it is fresh enough to be sold from."""
    found = _cache.get(reference)
    return found if found is not None and time.monotonic() < found.stale_at else None


def load(reference: Reference, *, ask: bool = True) -> ForSale:
    """A resource from the database, kept for a while. Raises `NotForSale`.

    For what is charged by use, `ask` who settles it, where that is not known yet.
    """
    load_patiently = durable.read(_load)
    started = time.monotonic()
    found = load_patiently(reference, started + conf.get().cache_seconds, ask)
    if found.goods.interface is not None:
        _interfaces[found.resource_id] = found.goods.interface
    else:
        _interfaces.pop(found.resource_id, None)
    with _lock:
        _cache.pop(reference, None)
        while len(_cache) >= MAX_CACHED:
            del _cache[next(iter(_cache))]
        _cache[reference] = found
    return found


_interfaces: Bounded[int, Interface] = Bounded()


def interface_of(resource_id: int) -> Interface | None:
    """What a resource takes and gives, if this process has sold it."""
    return _interfaces.get(resource_id)


def get(reference: Reference) -> ForSale:
    """A resource, from the database where what is kept is too old. Raises `NotForSale`."""
    return peek(reference) or load(reference)


_of_objects: Bounded[tuple[str, str], tuple[int, float]] = Bounded()
"""The resources of objects, each until a time on the monotonic clock."""


def of_object(sold: PricedMixin) -> int | None:
    """The key of an object's resource, kept as long as its price is; None where it has none, which
    is not kept. May query the database."""
    key = sold._meta.label_lower, str(sold.pk)
    kept = _of_objects.get(key)
    if kept is not None and time.monotonic() < kept[1]:
        return kept[0]
    stale_at = time.monotonic() + conf.get().cache_seconds
    resource = sold.paywall_resource
    if resource is None:
        return None
    _of_objects[key] = resource.pk, stale_at
    return resource.pk


_by_fields: Bounded[tuple[Any, ...], tuple[int, float]] = Bounded()


def peek_sold_by(sold_by: SoldBy, arguments: Mapping[str, Any]) -> int | None:
    """The key of what a view's arguments name, if that was found lately."""
    kept = _by_fields.get((sold_by.model, *sold_by.fields(arguments).items()))
    return kept[0] if kept is not None and time.monotonic() < kept[1] else None


def keep_sold_by(sold_by: SoldBy, arguments: Mapping[str, Any], key: int) -> None:
    """Keep it as long as a price."""
    stale_at = time.monotonic() + conf.get().cache_seconds
    _by_fields[(sold_by.model, *sold_by.fields(arguments).items())] = key, stale_at


def forget(**_: Any) -> None:
    """Keep nothing: the next request reads the database."""
    with _lock:
        _cache.clear()
        _of_objects.clear()
        _by_fields.clear()


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


def _load(reference: Reference, stale_at: float, ask: bool) -> ForSale:
    using = durable.alias()
    column = "slug" if isinstance(reference, str) else "id"
    resource = next(iter(Resource.objects.using(using).raw(_ONE % column, [reference])), None)
    if resource is None:
        raise NotForSale(f"There is no resource {reference!r}.")
    if not resource.active:
        raise NotForSale(f"Resource {resource.slug!r} is not active.", resource.pk)

    now = timezone.now()
    offer_timeout = timedelta(seconds=conf.get().offer_timeout)
    since = now - offer_timeout
    since_ = connections[using].ops.adapt_datetimefield_value(since)
    prices = _prices(resource, now, since)
    if conf.get().sandbox:
        sandbox.open_accounts(price.currency for price, _ in prices)
    rows = Account.objects.using(using).raw(_ACCOUNTS, [since_])
    accounts = [account for account in rows if rails.is_open(account.rail)]
    for_everyone = [(p, until) for p, until in prices if p.audience_id is None]
    has_passes = resource.access != _BY_REQUEST or _bundle(resource) is not None
    signs_in = has_passes or any(p.free_per == _BY_WALLET for p, _ in prices)
    make = partial(
        _for_sale, resource, accounts=accounts, stale_at=stale_at, signs_in=signs_in, ask=ask
    )
    sale = make(for_everyone)
    if not sale.offers and not _is_paid_ahead(sale):
        if resource.by_use and sale.prices.keys() & {account.currency for account in accounts}:
            raise NobodySettles(
                f"Resource {resource.slug!r} is charged by use, and no facilitator is known that "
                "settles so: x402's scheme `upto`.",
                resource.pk,
            )
        raise NotForSale(
            f"Resource {resource.slug!r} cannot be paid: it needs a price, and an enabled account "
            "in the price's currency; or something that tops up a balance of that currency.",
            resource.pk,
        )
    tiers = _tiers(resource, prices, make)
    return replace(sale, tiers=tiers) if tiers else sale


def _for_sale(
    resource: Resource,
    prices: list[tuple[Price, datetime | None]],
    accounts: list[Account],
    stale_at: float,
    signs_in: bool,
    ask: bool,
) -> ForSale:
    """A resource at some prices; there may be no offer among them."""
    offer_timeout = timedelta(seconds=conf.get().offer_timeout)
    current: dict[int, list[Offer]] = defaultdict(list)
    former = []
    for price, superseded_at in prices:
        for account in accounts:
            offer = made(price, account, resource, ask=ask)
            if offer is None:
                continue
            ended = min((t for t in (superseded_at, account.disabled_at) if t), default=None)
            if ended is None:
                current[account.order].append(offer)
            else:
                former.append((offer, (ended + offer_timeout).timestamp()))
    offers = tuple(offer for order in sorted(current) for offer in current[order])
    sign_in = _sign_in(offers) if signs_in else ()
    own_header = resource.payment_header == _OWN_HEADER if resource.payment_header else None
    goods = Goods(
        resource.title,
        resource.description,
        resource.mime_type,
        sign_in,
        interfaces.of(resource),
        _extensions(offers),
        own_header,
    )
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
        prices={price.currency: taxes.to_pay(price.amount) for price, ended in prices if not ended},
        former_offers=tuple(former),
        goods=goods,
        challenge=protocols.challenge(goods, offers),
        stale_at=stale_at,
        sign_in=sign_in,
        bundle_id=_bundle(resource),
        by_use=resource.by_use,
        meter=_metering(resource.meter),
    )


def _extensions(offers: tuple[Offer, ...]) -> dict[str, Any]:
    """What the offers' rails declare besides."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(offer.rail for offer in offers):
        if (extends := rails.able(name, Extends)) is not None:
            found |= extends.extensions([offer for offer in offers if offer.rail == name])
    return found


def _bundle(resource: Resource) -> int | None:
    bundle = resource.bundle
    good = bundle is not None and bundle.active and bundle.access in Resource.PASSES
    return resource.bundle_id if good else None


def top_ups() -> list[ForSale]:
    """All that tops up a balance. Queries the database."""
    rows = Resource.objects.using(durable.alias()).filter(access=Literal(_TOP_UP), active=True)
    found = []
    for key in sorted(rows.order_by().values_list("pk", flat=True)):
        try:
            found.append(get(key))
        except NotForSale as error:
            log.error("A top-up cannot be sold: %s", error)
    return found


def bundle_of(sale: ForSale) -> ForSale | None:
    """What opens more than it, and this too; None where there is nothing, or it cannot be paid."""
    if sale.bundle_id is None:
        return None
    try:
        return get(sale.bundle_id)
    except NotForSale as error:
        log.error("The bundle of %s cannot be sold: %s", sale.slug, error)
        return None


def _is_paid_ahead(sale: ForSale) -> bool:
    """Whether a balance or a bundle pays for it, as for what costs too little to be paid for by
    itself."""
    if sale.is_top_up or not sale.prices:
        return False
    if bundle_of(sale) is not None:
        return True
    return any(sale.prices.keys() & top_up.prices.keys() for top_up in top_ups())


def _metering(meter: Meter | None) -> Metering | None:
    if meter is None or not meter.active:
        return None
    return Metering(meter.pk, meter.uses, meter.per, meter.most_of_network)


def _sign_in(offers: tuple[Offer, ...]) -> tuple[str, ...]:
    """The networks of offers where a payer can prove to be itself."""
    able = {rail for rail in {offer.rail for offer in offers} if _lets_sign_in(rail)}
    return tuple(dict.fromkeys(offer.network for offer in offers if offer.rail in able))


def _lets_sign_in(name: str) -> bool:
    rail = rails.able(name, SignsIn)
    return rail is not None and rail.can_sign_in()


def _tiers(
    resource: Resource,
    prices: list[tuple[Price, datetime | None]],
    make: Callable[[list[tuple[Price, datetime | None]]], ForSale],
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
                tiers.append(_ended_tier(audience, own, make))
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
        sale = make(paid + others) if currencies else None
        tiers.append(_tier(audience, sale, free))
    return tuple(tiers)


def _tier(audience: Audience, sale: ForSale | None, free: tuple[Free, ...]) -> Tier:
    return Tier(
        audience.kind,
        audience.group_id,
        audience.coupon,
        audience.hook,
        audience.bots,
        audience.bot,
        sale,
        free,
    )


def _ended_tier(
    audience: Audience,
    prices: list[tuple[Price, datetime | None]],
    make: Callable[[list[tuple[Price, datetime | None]]], ForSale],
) -> Tier:
    """What an audience paid that ended a short while ago: nobody is offered it, and who was may
    still take it."""
    ended = audience.ended_at or timezone.now()
    own: list[tuple[Price, datetime | None]] = [
        (p, min(until or ended, ended)) for p, until in prices if p.amount
    ]
    return _tier(audience, make(own), ())


_ONE = 'SELECT * FROM paywall_resource WHERE "%s" = %%s'
_ACCOUNTS = 'SELECT * FROM paywall_account WHERE enabled OR disabled_at > %s ORDER BY "order", id'
_IN_FORCE = """
SELECT p.* FROM paywall_price p
WHERE p.resource_id = %s AND p.valid_from <= %s AND (p.valid_from > %s OR NOT EXISTS (
    SELECT 1 FROM paywall_price n
    WHERE n.resource_id = p.resource_id AND n.currency = p.currency
    AND (n.audience_id = p.audience_id OR (n.audience_id IS NULL AND p.audience_id IS NULL))
    AND n.valid_from <= %s
    AND (n.valid_from > p.valid_from OR (n.valid_from = p.valid_from AND n.id > p.id))
))
ORDER BY p.valid_from DESC, p.id DESC
"""
"""Written out: these are asked each second of each resource that is looked at, and Django takes
longer to put them together than a database to answer."""


def _prices(
    resource: Resource, now: datetime, since: datetime
) -> list[tuple[Price, datetime | None]]:
    """Prices in force at some time since, newest first, with when each was superseded."""
    using = durable.alias()
    ops = connections[using].ops
    now_, since_ = ops.adapt_datetimefield_value(now), ops.adapt_datetimefield_value(since)
    values = (resource.pk, now_, since_, since_)
    found = list(Price.objects.using(using).raw(_IN_FORCE, values))
    if any(price.audience_id is not None for price in found):
        prefetch_related_objects(found, "audience")
    result: list[tuple[Price, datetime | None]] = []
    newest: dict[tuple[int | None, str], Price] = {}
    for price in found:
        key = price.audience_id, price.currency
        newer = newest.get(key)
        result.append((price, newer.valid_from if newer else None))
        newest[key] = price
    return result


def made(price: Price, account: Account, resource: Resource, *, ask: bool = False) -> Offer | None:
    """Price x account (one that is open), or None where the resource's price cannot be paid
    there."""
    if price.currency != account.currency or not price.amount:
        return None
    rail = rails.all_().get(account.rail)
    if rail is None:
        log.error("Account %s is on a rail that the settings do not know: not offered", account.pk)
        return None
    to_pay = taxes.to_pay(price.amount)
    amount = _payable(account, to_pay)
    if amount is None:
        return None
    how = _by_use(rail, account, ask) if resource.by_use else rail.offered(account)
    if how is None:
        return None
    scheme, terms = how
    return Offer(
        rail=rail.name,
        scheme=scheme,
        network=account.network,
        amount=amount,
        timeout=conf.get().offer_timeout,
        terms=terms,
        account_id=account.pk,
        price_id=price.pk,
        price=to_pay,
        currency=price.currency,
        symbol=account.symbol,
        decimals=account.decimals,
        for_coupon=price.audience is not None and price.audience.kind == Audience.Kind.COUPON,
        upfront=resource.policy == Resource.Policy.BEFORE,
        at_most=resource.by_use,
    )


def _payable(account: Account, price: Decimal) -> int | None:
    """A price in atomic units of an account; None where it cannot be paid there."""
    chooses = rails.able(account.rail, HasMinimum)
    if chooses is not None and not chooses.takes(account, price):
        return None
    amount = account.atomic(price)
    if amount is None:
        log.warning("Price %s is finer than the unit of %s: not offered there", price, account)
    return amount


def _by_use(rail: Rail, account: Account, ask: bool) -> tuple[str, dict[str, Any]] | None:
    meters = rails.able(rail.name, Meters)
    return meters.offered_by_use(account, ask=ask) if meters is not None else None


for _model in (Resource, Price, Account, Audience, Meter):
    post_save.connect(forget, sender=_model, dispatch_uid=f"paywall.offers.{_model.__name__}")
    post_delete.connect(forget, sender=_model, dispatch_uid=f"paywall.offers.{_model.__name__}")
