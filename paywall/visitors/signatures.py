"""Web Bot Auth: requests that a bot signs (draft-ietf-webbotauth-httpsig-protocol-01, RFC 9421).

The URL in `Signature-Agent` is who the bot is; its keys are what that URL serves, and the worker
fetches them. Who signs with a key that is not known yet is treated as one who only says who it is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from paywall import conf
from paywall.bots import TAG, WELL_KNOWN, Bot, Purpose, directory_url
from paywall.exceptions import Code, Refused, Unavailable
from paywall.holders import throttle

from . import sources
from .visitor import Kind, Proof, Visitor

if TYPE_CHECKING:
    from django.http import HttpRequest

    from .keys import Key, PublicKey

MOST_SECONDS = 24 * 3_600
"""For how long a signature may be good."""

PRICE_HEADERS = ("crawler-max-price", "crawler-exact-price")

_INPUT, _AGENT = "HTTP_SIGNATURE_INPUT", "HTTP_SIGNATURE_AGENT"


def is_signed(request: HttpRequest) -> bool:
    """Whether it says that a bot has signed it."""
    return TAG in request.META.get(_INPUT, "")


def visitor_of(request: HttpRequest) -> Visitor | None:
    """Who has signed a request; None where its keys are not known (yet). May query the database.

    Raises `Refused` (400) for a signature that is not good, `Unavailable` (429) for one that was
    used before, where its signer says that it is for one request: by a nonce.
    """
    try:
        return _verified(request)
    except _Bad as error:
        raise Refused(Code.BAD_BOT_SIGNATURE, f"{_SENTENCE} {error}.", status=400) from error


_SENTENCE = "The signature of this request (Web Bot Auth) is not good:"


class _Bad(Exception):
    """What is wrong with a signature."""


@dataclass(frozen=True, slots=True)
class _Message:
    """A request as its signer saw it."""

    method: str
    url: str
    headers: Mapping[str, str]


def _verified(request: HttpRequest) -> Visitor | None:
    from http_message_signatures import HTTPMessageVerifier, HTTPSignatureKeyResolver
    from http_message_signatures.exceptions import HTTPMessageSignaturesException

    label, members, parameters = _signature_input(request)
    url = _agent(request, members)
    bot = _bots_by_directory().get(url)
    key_id = str(parameters.get("keyid", ""))
    key = sources.get().keys.get(url, {}).get(key_id)
    if bot is None or key is None:
        sources.want(url)
    if key is None:
        return None
    created, expires = parameters.get("created"), parameters.get("expires")
    now = timezone.now().timestamp()
    if not isinstance(created, int) or not isinstance(expires, int):
        raise _Bad("it has to say when it was created, and when it expires")
    if expires - created > MOST_SECONDS:
        raise _Bad("it is good for more than a day")
    if not key.is_good(now):
        raise _Bad("its key is not good now")
    if not {'"@authority"', '"@target-uri"'} & members:
        raise _Bad('it covers neither "@authority" nor "@target-uri"')

    public = key.public

    class Resolver(HTTPSignatureKeyResolver):
        def resolve_public_key(self, key_id: str) -> PublicKey:
            return public

    verifier = HTTPMessageVerifier(signature_algorithm=_algorithm(key), key_resolver=Resolver())
    verifier.max_clock_skew = timedelta(seconds=conf.get().clock_tolerance)
    message = _Message(str(request.method), _url(request), _headers(request))
    try:
        verifier.verify(message, max_age=None, expect_tag=TAG, expect_label=label)
    except HTTPMessageSignaturesException as error:
        raise _Bad(str(error).rstrip(".") or "it is not of this request") from error
    _use_once(url, str(parameters.get("nonce", "")), expires - now)
    return Visitor(
        Kind.VERIFIED,
        bot.name if bot is not None else _named(url),
        bot.purpose if bot is not None else Purpose.OTHER,
        Proof.SIGNATURE,
        covers_payment=_covers_payment(request, members),
    )


def _signature_input(request: HttpRequest) -> tuple[str, frozenset[str], Mapping[str, Any]]:
    """The label of the first signature of a bot, what it covers, and its parameters."""
    import http_sf

    try:
        parsed: Any = http_sf.parse(request.META[_INPUT].encode(), tltype="dictionary")
    except ValueError as error:
        raise _Bad("Signature-Input cannot be read") from error
    for label, member in parsed.items():
        inner, parameters = member
        if isinstance(inner, list) and parameters.get("tag") == TAG:
            return str(label), frozenset(map(_component, inner)), parameters
    raise _Bad(f"none has the tag {TAG!r}")


def _component(item: Any) -> str:
    name, parameters = item
    told = "".join(f';{key}="{value}"' for key, value in parameters.items())
    return f'"{name}"{told}'


def _agent(request: HttpRequest, members: Iterable[str]) -> str:
    """The URL of the keys. `Signature-Agent` is a dictionary, of which a signature covers a member;
    it was one string in earlier drafts. What is not signed says nothing."""
    import http_sf

    text = request.META.get(_AGENT, "").strip()
    if not text:
        raise _Bad("there is no Signature-Agent")
    try:
        if text.startswith('"'):
            if '"signature-agent"' not in members:
                raise _Bad('it does not cover "signature-agent"')
            item: Any = http_sf.parse(text.encode(), tltype="item")
            return directory_url(item[0])
        covered = filter(None, (_MEMBER.fullmatch(member) for member in members))
        keys = [found[1] for found in covered]
        if len(keys) != 1:
            raise _Bad('it has to cover one member of "signature-agent"')
        named: Any = http_sf.parse(text.encode(), tltype="dictionary")
        return directory_url(named[keys[0]][0])
    except (ValueError, KeyError, TypeError) as error:
        raise _Bad("Signature-Agent does not say where the keys are, by an https URL") from error


_MEMBER = re.compile(r'"signature-agent";key="([a-z*][a-z0-9_.*-]*)"')


def _named(url: str) -> str:
    """Who it is, for people: the host, where its keys are at the usual place."""
    return url.removeprefix("https://").removesuffix(WELL_KNOWN)


@conf.kept
def _bots_by_directory() -> dict[str, Bot]:
    bots = conf.get().known_bots().values()
    return {bot.directory: bot for bot in bots if bot.directory}


def _algorithm(key: Key) -> Any:
    """By the kind of the key, never by what a signature says of itself."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from http_message_signatures import algorithms

    if isinstance(key.public, ed25519.Ed25519PublicKey):
        return algorithms.ED25519
    if isinstance(key.public, ec.EllipticCurvePublicKey):
        return algorithms.ECDSA_P256_SHA256
    return algorithms.RSA_PSS_SHA512


def _covers_payment(request: HttpRequest, members: Iterable[str]) -> bool:
    """Whether a signature is of this page and this price, and cannot be brought to another one."""
    covered = set(members)
    is_of_page = '"@target-uri"' in covered or {'"@path"', '"@query"'} <= covered
    if not is_of_page and not request.META.get("QUERY_STRING"):
        is_of_page = '"@path"' in covered
    prices = [
        f'"{name}"'
        for name in PRICE_HEADERS
        if f"HTTP_{name.upper().replace('-', '_')}" in request.META
    ]
    return is_of_page and '"@method"' in covered and covered.issuperset(prices)


def _use_once(url: str, nonce: str, seconds: float) -> None:
    """Of any number at once, in whatever process, one signature with a nonce is good."""
    if not nonce:
        return
    digest = hashlib.sha256(f"{url} {nonce}".encode()).hexdigest()
    if not throttle.first_time(f"signature {digest}", timedelta(seconds=max(seconds, 1) + 60)):
        raise Unavailable(Code.BOT_SIGNATURE_USED, status=429)


def _url(request: HttpRequest) -> str:
    """As it was sent: Django writes a path's escapes anew, and a signature is of the letters."""
    scope = getattr(request, "scope", None)
    if scope is not None and scope.get("raw_path"):
        target = scope["raw_path"].decode("ascii", "replace")
        query = scope.get("query_string", b"").decode("ascii", "replace")
        target = f"{target}?{query}" if query else target
    else:
        target = request.META.get("RAW_URI") or request.META.get("REQUEST_URI") or ""
    if not target.startswith("/"):
        target = request.get_full_path()
    return f"{request.scheme}://{request.get_host()}{target}"


def _headers(request: HttpRequest) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}
