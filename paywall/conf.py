"""The `PAYWALL` setting: one dict, read once, typed and validated.

    PAYWALL = {
        "FACILITATOR_URL": "https://x402.org/facilitator",
        "RPC_URLS": {"eip155:8453": "https://mainnet.base.org"},
    }

Every key is a field of `Settings`, in upper case, with its default beside it.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from functools import cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_type_hints
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass as validated

from paywall import django_internals
from paywall.bots import Bot
from paywall.bots import read as read_bots
from paywall.presets import PRESETS, Headers, headers_for
from paywall.secret import Secret

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper

T = TypeVar("T")

_kept: list[_lru_cache_wrapper[Any]] = []

HeadersHook = Callable[[str], Mapping[str, str]]

NO_KEY = Secret()

DEFAULT = "default"
"""The name of a facilitator that is the only one."""


@dataclass(frozen=True, slots=True)
class Remote:
    """An x402 facilitator at a URL."""

    url: str = field(repr=False)
    token: str = field(default="", repr=False)
    more_headers: Mapping[str, str] | str = field(default_factory=dict, repr=False)
    sign: Headers | None = field(default=None, repr=False)
    """Headers that are made for each request."""

    def headers(self, endpoint: str) -> dict[str, str]:
        """The headers for a call of its "settle", "verify" or "supported". Raises what a site's
        hook raises, and `ImportError`, `ValueError` where a preset cannot sign."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if self.sign is not None:
            method = "GET" if endpoint == "supported" else "POST"
            headers |= self.sign(method, f"{self.url.rstrip('/')}/{endpoint}")
        if isinstance(self.more_headers, str):
            return headers | dict(self.hook()(endpoint))
        return headers | dict(self.more_headers)

    def hook(self) -> HeadersHook:
        """The function that makes the headers. Raises `ImportError`."""
        found: HeadersHook = import_string(str(self.more_headers))
        return found


@dataclass(frozen=True, slots=True)
class Stripe:
    """Who takes cards for the site, and by which keys."""

    api_key: Secret
    webhook_secret: Secret
    api_base: str = ""

    @property
    def is_test(self) -> bool:
        """Whether its money is play money."""
        return "_test_" in self.api_key.reveal()


@dataclass(frozen=True, slots=True)
class Seller:
    """Who sells, as invoices have it."""

    name: str
    address: str = ""
    vat_id: str = ""
    vat_rate: Decimal = Decimal(0)
    """In percent."""
    prices_with_vat: bool = True
    series: str = "{year}-"
    """What the numbers of a year begin with."""


Forgettable = Literal["payloads", "urls", "users", "wallets", "events"]
"""What can be forgotten of a payment; `docs/privacy.md` says what each is."""


@dataclass(frozen=True, slots=True)
class Must:
    """What a setting must be, for who reads the error."""

    be: str


def _amount(value: Any) -> Any:
    """A string or a whole number as a `Decimal`; never a float."""
    if isinstance(value, str | int) and not isinstance(value, bool):
        try:
            return Decimal(value)
        except InvalidOperation:
            return value
    return value


def _secret(value: Any) -> Any:
    if not isinstance(value, str | Secret):
        raise ValueError("no string")
    return Secret(value) if isinstance(value, str) else value


Text = Annotated[str, Must("a string")]
Flag = Annotated[bool, Must("True or False")]
Amount = Annotated[
    Decimal,
    BeforeValidator(_amount),
    Field(ge=0, allow_inf_nan=False),
    Must('an amount, as "1.00"'),
]
Key = Annotated[Secret, BeforeValidator(_secret), Must("a string")]
Seconds = Annotated[float, Field(ge=0), Must("a number of seconds")]
SomeSeconds = Annotated[float, Field(gt=0), Must("a number of seconds, more than 0")]
Whole = Annotated[int, Field(ge=0), Must("a whole number")]
SomeWhole = Annotated[int, Field(gt=0), Must("a whole number, more than 0")]
Strings = Annotated[Sequence[str], Must("a list of strings")]
Dictionary = Annotated[Mapping[str, str], Must("a dict of strings")]


@validated(
    frozen=True,
    config=ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True),
)
class Settings:
    """What the site's owner decides. Times are seconds."""

    sandbox: bool = False
    """Whether everything is paid with play money, and with no other: for a site that is being
    built. Refused without `DEBUG`."""

    facilitator_url: Text = field(default="", repr=False)
    """Base URL of the x402 facilitator; `/settle` and `/verify` are appended."""

    facilitator_token: Text = field(default="", repr=False)
    """Sent to the facilitator as `Authorization: Bearer ...`."""

    facilitator_headers: Annotated[Mapping[str, str] | str, Must("a dict of strings")] = field(
        default_factory=dict, repr=False
    )
    """More headers for the facilitator; or the dotted path of a function that gets the
    endpoint's name ("settle" or "verify") and returns them, for keys that sign each request."""

    facilitators: Annotated[Mapping[str, Mapping[str, Any]], Must("a dict of dicts")] = field(
        default_factory=dict, repr=False
    )
    """Several facilitators by name, tried in this order unless an account names its own:
    {"own": {"BACKEND": "onchain"}, "other": {"URL": "https://...", "TOKEN": "...",
    "HEADERS": {...}}, "cdp": {"PRESET": "coinbase", "KEY_ID": "...", "KEY_SECRET": "..."}}. With
    one at a URL, `FACILITATOR_URL` is enough."""

    facilitator_clients: Dictionary = field(default_factory=dict, repr=False)
    """Who may settle through this site (`paywall.fleet.urls`): a bearer token by name."""

    facilitator_connect_timeout: SomeSeconds = 5.0
    facilitator_read_timeout: SomeSeconds = 20.0
    """How long to wait for /settle: some blocks. Later answers count as unknown."""

    rpc_urls: Annotated[
        Mapping[str, str | Sequence[str]], Must("a dict of strings, or of lists of strings")
    ] = field(default_factory=dict, repr=False)
    """A node for each CAIP-2 network, or several: the next one is asked where one fails.
    Without one nothing there is confirmed."""

    rpc_timeout: SomeSeconds = 10.0

    rpc_quorum: SomeWhole = 2
    """How many nodes must say that a payment is lost or failed; where fewer are set, all."""

    log_range: SomeWhole = 2_000
    """Blocks for which a node is asked for logs at once; halved when it finds that too much."""

    rescan_blocks: SomeWhole = 64
    """How far back the chain is read again after a reorganisation."""

    stripe: Annotated[Mapping[str, str | Secret], Must("a dict of strings")] = field(
        default_factory=dict, repr=False
    )
    """Cards, by Stripe: {"API_KEY": "sk_...", "WEBHOOK_SECRET": "whsec_..."}, both from the
    environment. An "API_BASE" is for tests alone."""

    gas_key: Key = NO_KEY
    """Private key (hex) that pays for gas: with it the backend "onchain" settles."""

    treasury_key: Key = NO_KEY
    """Private key (hex) of the wallet that refunds are sent from."""

    gas_price_ceiling: Amount = Decimal(100)
    """Gwei for a unit of gas beyond which nothing is sent: payments wait."""

    gas_lost_per_hour: Amount = Decimal("0.002")
    """How much of the chain's coin may go for failed transactions in an hour; beyond it nothing is
    settled for payers who never paid here, and there is an alarm."""

    gas_low: Amount = Decimal("0.005")
    """Below this balance (in the chain's own coin) of a wallet that pays gas, there is an alarm."""

    replace_after: SomeWhole = 30
    """Seconds after which a transaction that no block took is sent again for a higher fee."""

    batch_size: SomeWhole = 100
    """Most payments in one transaction (policy `background`, backend "onchain")."""

    wallet_factories: Strings = ()
    """Contracts that may be called to deploy a payer's wallet (ERC-6492); none by default."""

    mpp: Flag = True
    """Whether the Machine Payments Protocol (MPP) is offered beside x402: over TLS, for tokens that
    it can say."""

    realm: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_-]*$"), Must("a host's name, say")] = ""
    """By which MPP's clients know the site; by default the first of Django's `ALLOWED_HOSTS`. Never
    what a request says."""

    payment_identifier: Annotated[
        str, Field(pattern=r"^(off|optional|required)$"), Must('"off", "optional" or "required"')
    ] = "optional"
    """Whether x402's buyers may, or have to, send an id of their own with a payment (extension
    `payment-identifier`): the same id is never charged twice."""

    offer_receipt: Flag = False
    """Whether x402's offers and receipts are signed by the site, for who wants to show them to
    others (extension `offer-receipt`)."""

    gas_sponsoring: Flag = False
    """Whether buyers of what is charged by use may sign their approval of Permit2 beside the
    payment (extension `eip2612GasSponsoring`): who settles pays the gas for both."""

    keep_answers: Seconds = 3_600
    """For how long the answer to such a payment is kept, to be given again; 0 keeps none."""

    openapi: Annotated[str, Field(pattern=r"^(\w+(\.\w+)+)?$"), Must("a dotted path")] = ""
    """A function of the site's own that returns its OpenAPI document: what it says of an operation
    that is sold is told to who looks for what is sold."""

    found_by: Annotated[
        Sequence[
            Literal["x402", "openapi", "llms", "robots", "bazaar", "prices", "link", "license"]
        ],
        Must(
            'a list of "x402", "openapi", "llms", "robots", "bazaar", "prices", "link" and '
            '"license"'
        ),
    ] = ("x402", "openapi", "llms", "robots", "bazaar", "prices", "link", "license")
    """Which lists of what is sold are served (`paywall.discovery.urls`, the page of prices), and
    whether the 402 links to them."""

    payment_authorization: Flag = False
    """Whether MPP's clients are told to pay in `Payment-Authorization`, since `Authorization` is
    for the site's own tokens. It is read in either."""

    rails: Strings = ()
    """More ways in which money moves, beside ours: dotted paths of `paywall.rails.base.Rail`s."""

    protocols: Strings = ()
    """More protocols that buyers speak: dotted paths of `paywall.protocols.base.Protocol`s."""

    ways_in: Strings = ()
    """More reasons to let a request through: dotted paths of `paywall.entry.ways.base.Way`s, asked
    after our own, in this order."""

    adapter: Annotated[str, Field(pattern=r"^(\w+(\.\w+)+)?$"), Must("a dotted path")] = ""
    """The site's own `paywall.adapter.Adapter`: who may pay, what a request costs, what is seen
    before, what a receipt says, and what a refund means."""

    payment_methods: Strings = ()
    """More ways for a person to pay on the page: dotted paths of
    `paywall.checkout.methods.PaymentMethod`s, shown after our own, in this order."""

    payment_handler: Flag = True
    """Whether the site has a payment method of its own for the browser's payment sheet, with a
    small wallet (Chromium)."""

    payment_handler_url: Text = ""
    """The payment method of another site that runs this app, to use its wallet; by default our
    own."""

    payment_handler_origins: Strings = ()
    """Other sites whose pages may be paid with our wallet, as "https://www.example"."""

    page_csp: Flag = True
    """Whether the page that people pay on has a strict `Content-Security-Policy` of its own; a
    script that the site adds to it needs `nonce="{{ csp_nonce }}"`. If not, the site's own is for
    it."""

    gift_links: Whole = 0
    """How many gift links a reader may make of what they bought; 0: none."""

    gift_uses: SomeWhole = 1
    """How many readers one of them is for."""

    gift_days: SomeWhole = 30
    """For how many days it is good."""

    pass_cache: Text = ""
    """The name of a Django cache that all processes share, to keep passes in: then who comes back
    costs no query. Not one in a process's own memory."""

    pass_devices: Whole = 0
    """On how many devices one pass may be open, its buyer's among them; 0: on any number."""

    public_rpc_urls: Dictionary = field(default_factory=dict)
    """A node for each CAIP-2 network that a buyer's wallet may be told, if it does not know the
    network yet. Never one with a key in its URL."""

    currency: Text = "USD"
    """The currency of prices declared in code."""

    offer_timeout: SomeWhole = 300
    """How long an offer can be taken (`maxTimeoutSeconds`), also after its price changed."""

    order_timeout: SomeWhole = 3_600
    """For how long a person may take to pay an order outside of the page, by a transfer say. Money
    that comes later is taken all the same."""

    cache_seconds: Seconds = 1.0
    """How long a process may go on offering a price that was changed elsewhere."""

    clock_tolerance: Whole = 5
    """How far a buyer's clock may be off from ours."""

    view_timeout: SomeWhole = 60
    """How long a paid view may run before its claim on the payment lapses."""

    retry_after: SomeWhole = 3
    """What a buyer is asked to wait while a payment's outcome is unknown."""

    credit_after: Whole = 1
    """After how many confirmed payments here a payer may have credit (policy `background`); without
    a node nothing is ever confirmed, and so nobody has."""

    exposure_per_payer: Amount = Decimal("1.00")
    """Up to how much one payer may have on credit (policy `background`), in each currency."""

    exposure_total: Amount = Decimal("100.00")
    """Up to how much all payers together may have on credit, in each currency: what is not settled,
    and what was lost so in the last day."""

    exposure_per_minute: Whole = 60
    """How many payments a minute one payer may make on credit."""

    balance_check: Flag = True
    """Whether it is looked up that a payer has the money: before credit, and before a view runs
    for a payer who never paid here. By the node; without one, by the facilitator."""

    audiences: Dictionary = field(default_factory=dict)
    """Functions that say who belongs to an audience, by name: {"members": "site.members"}, each
    gets the request and returns True or False."""

    bots: Annotated[Mapping[str, Mapping[str, Any]], Must("a dict of dicts, by names")] = field(
        default_factory=dict
    )
    """Bots that you want to tell from those who only say that they are it: {"Googlebot": {},
    "GPTBot": {}, "OurBot": {"PURPOSE": "search", "AGENT": "ourbot", "ADDRESSES":
    ["https://..."], "DOMAINS": ["bots.example"], "DIRECTORY": "https://..."}}. Of known ones
    nothing has to be said."""

    web_bot_auth: Annotated[
        str, Field(pattern=r"^(off|verify|ask)$"), Must('"off", "verify" or "ask"')
    ] = "off"
    """Whether bots' signatures (Web Bot Auth) are verified; and whether the 402 asks for them
    (`Accept-Signature`)."""

    crawl_log: Flag = False
    """Whether requests for what is sold are counted, by kind of visitor and bot: *Who knocks* on
    the dashboard. Counted in memory, and written every ten seconds."""

    monitor: Flag = False
    """Whether everybody is let in for nothing, and what they would have paid is counted: to see
    before you charge. Nobody pays then."""

    storm: Whole = 0
    """How many requests a second that bring nothing each process has Django answer, behind the
    front door. Of more, programs get their 402 without Django, and of four times as many all get a
    429, until it is over; never who brings a payment, a pass or a cookie. 0: as many as come."""

    crawler_prices: Flag = False
    """Whether prices in dollars are said in Cloudflare's headers for crawlers too: `crawler-price`;
    and a buyer's own limit in `crawler-max-price` is kept to."""

    proxies: Whole = 0
    """How many proxies of yours stand before the site: so many addresses at the end of
    `X-Forwarded-For` are believed when free requests are counted by network address."""

    time_zone: Text = ""
    """Where the owner's days begin on the dashboard, as "Europe/Lisbon"; by default
    Django's `TIME_ZONE`."""

    two_person_rule: Flag = False
    """Whether a second person must approve an account before money can arrive there."""

    invoices: Annotated[Mapping[str, str | bool], Must("a dict of strings")] = field(
        default_factory=dict
    )
    """Receipts are invoices: {"NAME": "Ada Ltd", "ADDRESS": "1 High Street\\nLondon", "VAT_ID":
    "GB123456789", "VAT_RATE": "20", "PRICES_WITH_VAT": True, "SERIES": "{year}-"}. Each gets a
    number of its year, and says what of the price is tax."""

    receipt_key: Key = NO_KEY
    """Private key (hex) that signs receipts; by default one made from `SECRET_KEY`."""

    alert_emails: Strings = ()
    """Whom to tell of lost payments, facilitators that are down, low gas, and each day's sales."""

    alert_webhook_url: Text = field(default="", repr=False)
    """Where to POST the same as JSON, signed as standardwebhooks.com has it."""

    alert_webhook_secret: Text = field(default="", repr=False)
    """The secret to sign it with, 24 to 64 bytes in base64, with or without "whsec_"."""

    metrics_token: Text = field(default="", repr=False)
    """Bearer token with which `metrics/` can be read; without one there are no metrics."""

    retention: Annotated[
        Mapping[Forgettable, SomeWhole],
        Must('a dict of days, by "payloads", "urls", "users", "wallets" and "events"'),
    ] = field(default_factory=dict)
    """After how many days what is personal in the books is forgotten: {"payloads": 30, "urls": 365,
    "users": 730, "wallets": 730, "events": 365}. What is not named is kept."""

    tracing: Flag = False
    """Whether OpenTelemetry is told of spans: requests for what is sold, settling, confirming.
    Needs the extra `otel`."""

    max_credential_bytes: SomeWhole = 8_190
    """Longer payment headers are refused."""

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        """What no single setting shows. Raises `ValueError`."""
        _check_urls(self)
        if self.sandbox and not django_internals.debug():
            raise ValueError(
                "PAYWALL['SANDBOX'] takes play money for what is sold: it needs DEBUG = True, and "
                "is for a site that is being built."
            )
        if self.facilitators and self.facilitator_url:
            raise ValueError(
                "PAYWALL has both 'FACILITATOR_URL' and 'FACILITATORS': name it there as well."
            )
        for key in ("gas_key", "treasury_key", "receipt_key"):
            secret: Secret = getattr(self, key)
            if secret and not _KEY.fullmatch(secret.reveal()):
                raise ValueError(f"PAYWALL[{key.upper()!r}] must be 32 bytes in hex.")
        _check_alerts(self)
        _check_stripe(self)
        self.known_bots()
        self.seller()
        if self.time_zone:
            try:
                ZoneInfo(self.time_zone)
            except (OSError, LookupError, ValueError):
                text = "PAYWALL['TIME_ZONE'] is no time zone that is known here"
                raise ValueError(f"{text}: {self.time_zone!r}.") from None
        return self

    def rpc_nodes(self, network: str) -> tuple[str, ...]:
        """The URLs of a network's nodes, the first choice first."""
        urls = self.rpc_urls.get(network) or ()
        return (urls,) if isinstance(urls, str) else tuple(urls)

    def owners_zone(self) -> ZoneInfo:
        """Where the owner's days begin."""
        return ZoneInfo(self.time_zone or django_settings.TIME_ZONE)

    def webhook_secret(self) -> bytes:
        """The bytes that sign webhooks. Raises `ValueError` if they are not base64."""
        return b64decode(self.alert_webhook_secret.removeprefix("whsec_"), validate=True)

    def cards(self) -> Stripe | None:
        """Who takes cards, if anybody does."""
        key = _kept_secret(self.stripe.get("API_KEY", ""))
        if not key:
            return None
        secret = _kept_secret(self.stripe.get("WEBHOOK_SECRET", ""))
        return Stripe(key, secret, str(self.stripe.get("API_BASE", "")))

    def known_bots(self) -> dict[str, Bot]:
        """The bots that are told apart, by name. Raises `ValueError`."""
        return read_bots(self.bots)

    def seller(self) -> Seller | None:
        """Who sells, if receipts are invoices. Raises `ValueError`."""
        return _seller(self.invoices) if self.invoices else None

    def remotes(self) -> Mapping[str, Remote | None]:
        """The facilitators by name, in the order in which they are tried; None is our own."""
        if self.facilitators:
            return {name: _remote(entry) for name, entry in self.facilitators.items()}
        if self.facilitator_url:
            default = Remote(self.facilitator_url, self.facilitator_token, self.facilitator_headers)
            return {DEFAULT: default}
        return {DEFAULT: None} if self.gas_key else {}

    def remotes_for(self, chosen: Sequence[str]) -> Mapping[str, Remote | None]:
        """Those of the chosen that are known, in that order; all, if there is none."""
        remotes = self.remotes()
        return {name: remotes[name] for name in chosen if name in remotes} or remotes


def kept(function: Callable[..., T]) -> _lru_cache_wrapper[T]:
    """Keep what a function makes of the settings, for as long as they stay as they are."""
    cached = cache(function)
    _kept.append(cached)
    return cached


@kept
def get() -> Settings:
    """The settings, read once. Raises `ImproperlyConfigured`, naming the key."""
    return read(getattr(django_settings, "PAYWALL", {}))


def wants_metrics() -> bool:
    """Whether metrics are to be counted; asked at start-up, when settings may still be wrong."""
    raw = getattr(django_settings, "PAYWALL", {})
    return isinstance(raw, Mapping) and bool(raw.get("METRICS_TOKEN"))


def read(raw: Any) -> Settings:
    """Settings from the `PAYWALL` dict. Raises `ImproperlyConfigured`."""
    if not isinstance(raw, Mapping):
        raise ImproperlyConfigured("PAYWALL must be a dict.")
    known = {f.name.upper(): f.name for f in fields(Settings)}
    for key in raw:
        if key not in known:
            raise ImproperlyConfigured(f"PAYWALL[{key!r}] is not a setting. {_meant(key, known)}")
    try:
        return Settings(**{known[key]: value for key, value in raw.items()})
    except ValidationError as error:
        raise ImproperlyConfigured(_told(error, raw)) from None


def _meant(key: object, known: Iterable[str]) -> str:
    """What whoever typed a wrong key may have meant; all there are, where nobody can tell."""
    close = get_close_matches(str(key).upper(), known, 2)
    if close:
        return f"Did you mean {' or '.join(map(repr, close))}?"
    return f"Known: {', '.join(sorted(known))}."


def _told(error: ValidationError, raw: Mapping[str, Any]) -> str:
    """What is wrong, for people: which key, and what it must be. Not what keys hold."""
    first = error.errors(include_url=False, include_input=False)[0]
    if not first["loc"]:
        return str(first["ctx"]["error"])
    name = str(first["loc"][0])
    hint = get_type_hints(Settings, include_extras=True)[name]
    must = next(known for known in hint.__metadata__ if isinstance(known, Must))
    key = name.upper()
    return f"PAYWALL[{key!r}] must be {must.be}, not {_shown(key, raw[key])}."


def _kept_secret(value: str | Secret) -> Secret:
    return value if isinstance(value, Secret) else Secret(value)


def _check_stripe(settings: Settings) -> None:
    known = {"API_KEY", "WEBHOOK_SECRET", "API_BASE"}
    for key in settings.stripe:
        if key not in known:
            raise ValueError(
                f"PAYWALL['STRIPE'][{key!r}] is not a setting. Known: {', '.join(sorted(known))}."
            )


def _seller(given: Mapping[str, Any]) -> Seller:
    known = {one.name.upper(): one for one in fields(Seller)}
    if unknown := set(given) - set(known):
        raise ValueError(
            f"PAYWALL['INVOICES'] has no {', '.join(sorted(unknown))}. Known: "
            f"{', '.join(sorted(known))}."
        )
    if not given.get("NAME"):
        raise ValueError("PAYWALL['INVOICES'] needs the seller's 'NAME'.")
    values = {key.lower(): value for key, value in given.items()}
    rate = _amount(values.get("vat_rate", "0"))
    if not isinstance(rate, Decimal) or not 0 <= rate <= 100:
        raise ValueError("PAYWALL['INVOICES']['VAT_RATE'] must be a percentage, as \"20\".")
    seller = Seller(**{**values, "vat_rate": rate})
    if not isinstance(seller.prices_with_vat, bool):
        raise ValueError("PAYWALL['INVOICES']['PRICES_WITH_VAT'] must be True or False.")
    try:
        is_yearly = "{year}" in seller.series and len(seller.series.format(year=2026)) <= 30
    except (LookupError, ValueError, AttributeError, TypeError):
        is_yearly = False
    if not is_yearly:
        raise ValueError(
            "PAYWALL['INVOICES']['SERIES'] must have {year} in it, as \"{year}-\", and be short."
        )
    return seller


def _check_alerts(settings: Settings) -> None:
    if bool(settings.alert_webhook_url) != bool(settings.alert_webhook_secret):
        raise ValueError("PAYWALL['ALERT_WEBHOOK_URL'] and 'ALERT_WEBHOOK_SECRET' go together.")
    try:
        long_enough = 24 <= len(settings.webhook_secret()) <= 64
    except ValueError:
        long_enough = False
    if settings.alert_webhook_secret and not long_enough:
        raise ValueError("PAYWALL['ALERT_WEBHOOK_SECRET'] must be 24 to 64 bytes in base64.")


_KEY = re.compile(r"(0x)?[0-9a-fA-F]{64}")


def _check_urls(settings: Settings) -> None:
    urls = [("FACILITATOR_URL", settings.facilitator_url)]
    urls += [("PAYMENT_HANDLER_URL", settings.payment_handler_url)]
    urls += [("PAYMENT_HANDLER_ORIGINS", url) for url in settings.payment_handler_origins]
    urls += [("ALERT_WEBHOOK_URL", settings.alert_webhook_url)]
    urls += [("STRIPE", str(settings.stripe.get("API_BASE", "")))]
    urls += [("RPC_URLS", url) for n in settings.rpc_urls for url in settings.rpc_nodes(n)]
    urls += [("FACILITATORS", r.url) for r in settings.remotes().values() if r is not None]
    for key, url in urls:
        if url and not _is_http_url(url):
            raise ValueError(f"PAYWALL[{key!r}] must be an http or https URL.")


def _remote(entry: Mapping[str, Any]) -> Remote | None:
    """One of `FACILITATORS`. Raises `ValueError`."""
    if dict(entry) == {"BACKEND": "onchain"}:
        return None
    if "PRESET" in entry:
        return _preset(entry)
    good = set(entry) <= {"URL", "TOKEN", "HEADERS"} and isinstance(entry.get("URL"), str)
    if not good:
        raise ValueError(
            "Each of PAYWALL['FACILITATORS'] is {'BACKEND': 'onchain'}, has a 'PRESET', or has a "
            f"'URL' and may have 'TOKEN' and 'HEADERS'; not {sorted(entry)}."
        )
    return Remote(entry["URL"], str(entry.get("TOKEN", "")), entry.get("HEADERS", {}))


def _preset(entry: Mapping[str, Any]) -> Remote:
    name = str(entry["PRESET"])
    preset = PRESETS.get(name)
    if preset is None:
        known = ", ".join(sorted(PRESETS))
        raise ValueError(f"PAYWALL['FACILITATORS']: there is no preset {name!r}; there is {known}.")
    if unknown := set(entry) - {"PRESET", "URL", *preset.keys}:
        raise ValueError(
            f"PAYWALL['FACILITATORS']: {preset.title} has no {', '.join(sorted(unknown))}."
        )
    try:
        sign = headers_for(name, entry)
    except ValueError as error:
        raise ValueError(f"PAYWALL['FACILITATORS']: {error}") from error
    return Remote(str(entry.get("URL", preset.url)), sign=sign)


def is_exposed(url: str) -> bool:
    """Whether a URL would carry what money depends on in the clear over a network."""
    parts = urlsplit(url)
    return (
        parts.scheme != "https"
        and not _is_loopback(parts.hostname or "")
        and not django_settings.DEBUG
    )


def _is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(key: str, value: Any) -> str:
    """A value in an error; what may hold a key only by its type."""
    secret = any(
        word in key for word in ("KEY", "TOKEN", "SECRET", "URL", "HEADERS", "CLIENTS", "STRIPE")
    )
    return f"a {type(value).__name__}" if secret else repr(value)


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "PAYWALL":
        for cached in _kept:
            cached.cache_clear()


setting_changed.connect(_forget)
