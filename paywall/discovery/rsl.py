"""The license document of RSL 1.0 (https://rslstandard.org/rsl), and lines for `robots.txt`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from paywall.catalog import usage
from paywall.models import Resource, UsageTerms
from paywall.money import money
from paywall.mounts import path_of

from . import listing

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from paywall.catalog.usage import Terms

    Absolute = Callable[[str], str]

NAMESPACE = "https://rslstandard.org/rsl"
MEDIA_TYPE = "application/rsl+xml"
X402 = "application/x402+json"
_Compensation = UsageTerms.Compensation


def document(absolute: Absolute) -> str:
    """All that has terms: the site, and what is sold and listed there."""
    known = listing.terms()
    root = ET.Element("rsl", {"xmlns": NAMESPACE})
    if known.everywhere is not None:
        # What is not sold is read for nothing.
        _content(root, "/", known.everywhere, (), absolute)
    for one in listing.all_():
        terms = known.of(one.resource_id)
        if terms is not None and one.access != Resource.Access.BALANCE:
            _content(root, _pattern(one.path), terms, one.prices, absolute)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _pattern(path: str) -> str:
    """As `robots.txt` has it (RFC 9309): what varies is a star."""
    return re.sub(r"\{[^}]*\}", "*", path)


def _content(
    root: ET.Element,
    path: str,
    terms: Terms,
    prices: tuple[tuple[Decimal, str], ...],
    absolute: Absolute,
) -> None:
    server = path_of("paywall:license_token").removesuffix("token")
    attributes = {"url": path}
    if terms.by_token and prices and server:
        attributes["server"] = absolute(server).rstrip("/")
    content = ET.SubElement(root, "content", attributes)
    license_ = ET.SubElement(content, "license")
    for name, said in (("permits", terms.permits), ("prohibits", terms.prohibits)):
        if said:
            ET.SubElement(license_, name, {"type": "usage"}).text = said
    _payment(license_, terms, prices)
    if terms.terms_url:
        ET.SubElement(content, "terms").text = terms.terms_url


def _payment(license_: ET.Element, terms: Terms, prices: tuple[tuple[Decimal, str], ...]) -> None:
    match terms.compensation:
        case _Compensation.PRICE:
            for amount, currency in prices:
                payment = ET.SubElement(license_, "payment", {"type": "crawl"})
                told = ET.SubElement(payment, "amount", {"currency": currency})
                told.text = money(amount)
                ET.SubElement(payment, "accepts", {"type": X402})
        case _Compensation.BY_AGREEMENT:
            payment = ET.SubElement(license_, "payment", {"type": "purchase"})
            ET.SubElement(payment, "custom").text = terms.agreement_url
        case _Compensation.ATTRIBUTION:
            ET.SubElement(license_, "payment", {"type": "attribution"})
        case _Compensation.FREE:
            ET.SubElement(license_, "payment", {"type": "free"})


def headers(row: UsageTerms) -> dict[str, str]:
    """What is said on answers of what the terms are for."""
    preferences = usage.of_row(row).preferences
    found = {"Content-Usage": preferences} if preferences else {}
    if path := path_of("paywall_discovery:license"):
        found["Link"] = f'<{path}>; rel="license"; type="{MEDIA_TYPE}"'
    return found


def robots(absolute: Absolute) -> tuple[list[str], list[str]]:
    """What `robots.txt` has of it: lines for everybody, and lines for the group `*`."""
    known = listing.terms()
    path = path_of("paywall_discovery:license")
    where = [f"License: {absolute(path)}"] if known and path else []
    preferred = []
    if known.everywhere is not None and known.everywhere.preferences:
        preferred.append(f"Content-Usage: {known.everywhere.preferences}")
    for one in listing.all_():
        own = known.by_resource.get(one.resource_id)
        if own is not None and own.preferences:
            preferred.append(f"Content-Usage: {_pattern(one.path)} {own.preferences}")
    return where, preferred
