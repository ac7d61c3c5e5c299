"""The `PAYWALL` setting: one dict, read once, typed and validated.

    PAYWALL = {
        "FACILITATOR_URL": "https://x402.org/facilitator",
        "RPC_URLS": {"eip155:8453": "https://mainnet.base.org"},
    }

Every key is a field of `Settings`, in upper case, with its default beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from functools import cache
from ipaddress import ip_address
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

HeadersHook = Callable[[str], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the site's owner decides. Times are seconds."""

    facilitator_url: str = ""
    """Base URL of the x402 facilitator; `/settle` and `/verify` are appended."""

    facilitator_token: str = field(default="", repr=False)
    """Sent to the facilitator as `Authorization: Bearer ...`."""

    facilitator_headers: Mapping[str, str] | str = field(default_factory=dict, repr=False)
    """More headers for the facilitator; or the dotted path of a function that gets the
    endpoint's name ("settle" or "verify") and returns them, for keys that sign each request."""

    facilitator_connect_timeout: float = 5.0
    facilitator_read_timeout: float = 20.0
    """How long to wait for /settle: some blocks. Later answers count as unknown."""

    rpc_urls: Mapping[str, str] = field(default_factory=dict, repr=False)
    """A node to read for each CAIP-2 network. Without one nothing there is confirmed."""

    rpc_timeout: float = 10.0

    currency: str = "USD"
    """The currency of prices declared in code."""

    offer_timeout: int = 300
    """How long an offer can be taken (`maxTimeoutSeconds`), also after its price changed."""

    cache_seconds: float = 1.0
    """How long a process may go on offering a price that was changed elsewhere."""

    clock_tolerance: int = 5
    """How far a buyer's clock may be off from ours."""

    view_timeout: int = 60
    """How long a paid view may run before its claim on the payment lapses."""

    retry_after: int = 3
    """What a buyer is asked to wait while a payment's outcome is unknown."""

    exposure_per_payer: Decimal = Decimal("1.00")
    """Up to how much one payer may have on credit (policy `background`), in each currency."""

    exposure_total: Decimal = Decimal("100.00")
    """Up to how much all payers together may have on credit, in each currency."""

    exposure_per_minute: int = 60
    """How many payments a minute one payer may make on credit."""

    balance_check: bool = True
    """Whether a payer's balance is looked up before credit, where the network has an RPC URL."""

    max_credential_bytes: int = 8_190
    """Longer payment headers are refused."""

    database: str = ""
    """Alias of the database that the ledger writes to; by default the router's choice."""

    def headers(self, endpoint: str) -> dict[str, str]:
        """The headers for a call of the facilitator's "settle" or "verify"."""
        headers: dict[str, str] = {}
        if self.facilitator_token:
            headers["Authorization"] = f"Bearer {self.facilitator_token}"
        if isinstance(self.facilitator_headers, str):
            return headers | dict(self.headers_hook()(endpoint))
        return headers | dict(self.facilitator_headers)

    def headers_hook(self) -> HeadersHook:
        """The function that `FACILITATOR_HEADERS` names. Raises `ImportError`."""
        hook: HeadersHook = import_string(str(self.facilitator_headers))
        return hook

    def rpc_url(self, network: str) -> str | None:
        """The node for a network, or None."""
        return self.rpc_urls.get(network) or None


@cache
def get() -> Settings:
    """The settings, read once. Raises `ImproperlyConfigured`, naming the key."""
    return read(getattr(django_settings, "PAYWALL", {}))


def read(raw: Any) -> Settings:
    """Settings from the `PAYWALL` dict. Raises `ImproperlyConfigured`."""
    if not isinstance(raw, Mapping):
        raise ImproperlyConfigured("PAYWALL must be a dict.")
    known = {f.name.upper(): f for f in fields(Settings)}
    for key in raw:
        if key not in known:
            raise ImproperlyConfigured(
                f"PAYWALL[{key!r}] is not a setting. Known: {', '.join(sorted(known))}."
            )
    hints = get_type_hints(Settings)
    values = {
        known[key].name: _checked(key, value, hints[known[key].name]) for key, value in raw.items()
    }
    for key in ("facilitator_url", *(f"rpc_urls:{n}" for n in values.get("rpc_urls", {}))):
        name, _, network = key.partition(":")
        url = values.get(name, "") if not network else values[name][network]
        if url and not _is_http_url(url):
            raise ImproperlyConfigured(f"PAYWALL[{name.upper()!r}] must be an http or https URL.")
    return Settings(**values)


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


_POSITIVE = {
    "FACILITATOR_CONNECT_TIMEOUT",
    "FACILITATOR_READ_TIMEOUT",
    "RPC_TIMEOUT",
    "OFFER_TIMEOUT",
    "VIEW_TIMEOUT",
    "RETRY_AFTER",
    "MAX_CREDENTIAL_BYTES",
}


def _checked(key: str, value: Any, hint: Any) -> Any:
    if hint is Decimal:
        try:
            value = Decimal(value) if isinstance(value, (str, int)) else value
        except InvalidOperation:
            value = None
        good = isinstance(value, Decimal) and value.is_finite() and value >= 0
    elif hint in (str, bool):
        good = isinstance(value, hint)
    elif hint in (int, float):
        allowed = (int, float) if hint is float else (int,)
        good = isinstance(value, allowed) and not isinstance(value, bool)
        good = good and (value > 0 if key in _POSITIVE else value >= 0)
    else:
        good = (key == "FACILITATOR_HEADERS" and isinstance(value, str)) or (
            isinstance(value, Mapping)
            and all(isinstance(k, str) and isinstance(v, str) for k, v in value.items())
        )
    if not good:
        expected = {
            Decimal: 'an amount, as "1.00"',
            str: "a string",
            bool: "True or False",
            int: "a whole number",
            float: "a number of seconds",
        }.get(hint, "a dict of strings")
        if key in _POSITIVE:
            expected += ", more than 0"
        raise ImproperlyConfigured(f"PAYWALL[{key!r}] must be {expected}, not {value!r}.")
    return value


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "PAYWALL":
        get.cache_clear()


setting_changed.connect(_forget)
