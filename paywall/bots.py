"""Bots by name: what they come for, and how one knows that it is they.

As their owners said in October 2026: https://developers.google.com/crawling/docs/crawlers-fetchers,
https://www.bing.com/webmasters/help/how-to-verify-bingbot-3905dc26, https://platform.openai.com/docs/bots,
https://docs.perplexity.ai/docs/resources/perplexity-crawlers, https://support.apple.com/en-us/119829,
https://commoncrawl.org/ccbot, https://developer.amazon.com/amazonbot.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit


class Purpose(StrEnum):
    """What a bot comes for."""

    SEARCH = "search"
    """A search engine: it sends readers."""
    TRAIN = "train"
    """It collects for models of artificial intelligence."""
    USER = "user"
    """It fetches this one page for a person who asked it to."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Bot:
    """One bot, and what proves that a request is its own. Any of these does."""

    name: str
    purpose: Purpose
    agent: str
    """The word by which its `User-Agent` names it, in lower case."""
    addresses: tuple[str, ...] = ()
    """URLs of lists of the address ranges that it comes from."""
    domains: tuple[str, ...] = ()
    """Where its addresses lead by reverse DNS, and whence they come back."""
    directory: str = ""
    """The URL of its keys (Web Bot Auth)."""


TAG = "web-bot-auth"
"""Of a bot's signature, among others that a request may have."""

WHAT_TO_SIGN = (
    'sig1=("@method" "@target-uri" "signature-agent";key="sig1");created;expires;nonce;keyid;'
    f'tag="{TAG}"'
)
"""`Accept-Signature` (RFC 9421, section 5.1): what has to be covered for a price of a bot's own."""


_GOOGLE = "https://developers.google.com/static/search/apis/ipranges"
_OPENAI = "https://openai.com"
_PERPLEXITY = "https://www.perplexity.com"


def _known(
    name: str, purpose: Purpose, *addresses: str, domains: tuple[str, ...] = ()
) -> tuple[str, Bot]:
    return name, Bot(name, purpose, name.lower(), addresses, domains)


KNOWN: Mapping[str, Bot] = dict(
    (
        _known(
            "Googlebot",
            Purpose.SEARCH,
            f"{_GOOGLE}/googlebot.json",
            domains=("googlebot.com", "google.com"),
        ),
        _known(
            "bingbot",
            Purpose.SEARCH,
            "https://www.bing.com/toolbox/bingbot.json",
            domains=("search.msn.com",),
        ),
        _known(
            "Applebot",
            Purpose.SEARCH,
            "https://search.developer.apple.com/applebot.json",
            domains=("applebot.apple.com",),
        ),
        _known("DuckDuckBot", Purpose.SEARCH, "https://duckduckgo.com/duckduckbot.json"),
        _known("GPTBot", Purpose.TRAIN, f"{_OPENAI}/gptbot.json"),
        _known("OAI-SearchBot", Purpose.SEARCH, f"{_OPENAI}/searchbot.json"),
        _known("ChatGPT-User", Purpose.USER, f"{_OPENAI}/chatgpt-user.json"),
        _known("ClaudeBot", Purpose.TRAIN, "https://claude.com/crawling/bots.json"),
        _known("Claude-SearchBot", Purpose.SEARCH, "https://claude.com/crawling/bots.json"),
        _known("Claude-User", Purpose.USER, "https://claude.com/crawling/bots.json"),
        _known("PerplexityBot", Purpose.SEARCH, f"{_PERPLEXITY}/perplexitybot.json"),
        _known("Perplexity-User", Purpose.USER, f"{_PERPLEXITY}/perplexity-user.json"),
        _known("CCBot", Purpose.TRAIN, "https://index.commoncrawl.org/ccbot.json"),
        _known("Amazonbot", Purpose.TRAIN, domains=("crawl.amazonbot.amazon",)),
    )
)
"""What need not be said of these."""


WELL_KNOWN = "/.well-known/http-message-signatures-directory"

_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?")


def directory_url(value: object) -> str:
    """The URL of a bot's keys, which is who it is (Web Bot Auth): https, without a query; of a host
    alone, at the usual place. Raises `ValueError`."""
    parts = urlsplit(value if isinstance(value, str) else "")
    if parts.scheme != "https" or not _HOST.fullmatch(parts.netloc) or len(parts.path) > 300:
        raise ValueError(f"{value!r} must be an https URL.")
    path = parts.path if parts.path not in ("", "/") else WELL_KNOWN
    return f"https://{parts.netloc.lower()}{path}"


def read(given: Mapping[str, Mapping[str, Any]]) -> dict[str, Bot]:
    """The bots of `PAYWALL["BOTS"]`, by name. Raises `ValueError`."""
    return {name: _read(name, said) for name, said in given.items()}


_KEYS = frozenset(field.name.upper() for field in fields(Bot)) - {"NAME"}


def _read(name: str, said: Mapping[str, Any]) -> Bot:
    where = f"PAYWALL['BOTS'][{name!r}]"
    if unknown := set(said) - _KEYS:
        raise ValueError(
            f"{where} has no {', '.join(sorted(unknown))}. Known: {', '.join(sorted(_KEYS))}."
        )
    usual = KNOWN.get(name) or Bot(name, Purpose.OTHER, name.lower())
    try:
        purpose = Purpose(said.get("PURPOSE", usual.purpose))
    except ValueError:
        known = ", ".join(Purpose)
        raise ValueError(f"{where}['PURPOSE'] must be one of {known}.") from None
    directory = said.get("DIRECTORY", usual.directory)
    try:
        directory = directory_url(directory) if directory else ""
    except ValueError as error:
        raise ValueError(f"{where}['DIRECTORY']: {error}") from None
    bot = Bot(
        name,
        purpose,
        str(said.get("AGENT", usual.agent)).lower(),
        _strings(where, said, "ADDRESSES", usual.addresses),
        _strings(where, said, "DOMAINS", usual.domains),
        directory,
    )
    for url in bot.addresses:
        if urlsplit(url).scheme != "https":
            raise ValueError(f"{where}: {url!r} must be an https URL.")
    if not (bot.addresses or bot.domains or bot.directory):
        raise ValueError(
            f"{where}: nothing would prove that it is this bot. Say its 'ADDRESSES' (URLs of "
            "lists), its 'DOMAINS' (reverse DNS) or its 'DIRECTORY' (Web Bot Auth)."
        )
    if not bot.agent and not bot.directory:
        raise ValueError(f"{where}['AGENT'] must be the word by which its User-Agent names it.")
    return bot


def _strings(
    where: str, said: Mapping[str, Any], key: str, usual: tuple[str, ...]
) -> tuple[str, ...]:
    value = said.get(key, usual)
    if isinstance(value, str) or not all(isinstance(one, str) and one for one in value):
        raise ValueError(f"{where}[{key!r}] must be a list of strings.")
    return tuple(value)
