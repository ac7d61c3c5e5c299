"""The same list, as each reader knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paywall import conf
from paywall.catalog import offers as catalog
from paywall.exceptions import NotForSale
from paywall.money import money
from paywall.mounts import path_of
from paywall.protocols.mpp.charges import INTENT, METHODS
from paywall.protocols.x402 import bazaar
from paywall.protocols.x402.requirements import can_say, requirements

from . import listing, rsl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from decimal import Decimal

    from paywall.interface import Interface
    from paywall.vocabulary import Offer

    from .listing import Listed

    Absolute = Callable[[str], str]

X402 = 2


def items(absolute: Absolute) -> list[dict[str, Any]]:
    """Resources as x402's bazaar lists them: those whose URL is known, and that x402 can pay."""
    found = []
    for one in listing.all_():
        accepts = [requirements(offer) for offer in one.offers if can_say(offer)]
        if one.is_template or not accepts:
            continue
        item = {
            "resource": absolute(one.path),
            "type": "http",
            "x402Version": X402,
            "accepts": accepts,
            "lastUpdated": one.changed_at.isoformat(),
            "description": one.description or one.title,
            "mimeType": one.mime_type,
            "method": one.methods[0],
            **({"extensions": told} if (told := bazaar.extension(one.interface)) else {}),
        }
        found.append(item)
    return found


def well_known(absolute: Absolute) -> dict[str, Any]:
    """`/.well-known/x402`: the URLs, and what each costs. In no merged specification; in the shape
    that indexers read."""
    found = items(absolute)
    return {
        "version": 1,
        "x402Version": X402,
        "resources": [item["resource"] for item in found],
        "items": found,
    }


def page_of_items(absolute: Absolute, limit: int, offset: int) -> dict[str, Any]:
    """`GET /discovery/resources` of a facilitator (x402 specs, extensions/bazaar.md)."""
    found = items(absolute)
    return {
        "x402Version": X402,
        "items": found[offset : offset + limit],
        "pagination": {"limit": limit, "offset": offset, "total": len(found)},
    }


def openapi(absolute: Absolute, title: str) -> dict[str, Any]:
    """`/openapi.json`: what is sold, with `x-payment-info` (draft-payment-discovery-01)."""
    paths: dict[str, Any] = {}
    for one in listing.all_():
        operations = paths.setdefault(one.path, {})
        for method in one.methods:
            operations[method.lower()] = _operation(one)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1.0.0"},
        "servers": [{"url": absolute("/").rstrip("/")}],
        "paths": paths,
    }
    docs = {"homepage": path_of("paywall:prices"), "llms": path_of("paywall_discovery:llms")}
    links = {name: absolute(path) for name, path in docs.items() if path}
    if links:
        document["x-service-info"] = {"docs": links}
    return document


def annotate(document: dict[str, Any]) -> dict[str, Any]:
    """An OpenAPI document of the site's own, with what its operations cost.

    Operations whose path is sold get `x-payment-info` and a `402` response. Returns the document,
    changed in place.
    """
    for one in listing.all_():
        operations = document.get("paths", {}).get(one.path, {})
        for method in one.methods:
            operation = operations.get(method.lower())
            if isinstance(operation, dict):
                told = _operation(one)
                operation["x-payment-info"] = told["x-payment-info"]
                operation.setdefault("responses", {})["402"] = told["responses"]["402"]
    return document


def _operation(one: Listed) -> dict[str, Any]:
    names = [part.partition("}")[0] for part in one.path.split("{")[1:]]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]
    body, answer = {}, {}
    if (interface := one.interface) is not None:
        parameters += _in_query(interface)
        body = _in_body(interface)
        answer = _content(interface.answer_schema, interface.answer)
    return {
        "summary": one.title,
        **({"description": one.description} if one.description else {}),
        **({"parameters": parameters} if parameters else {}),
        **({"requestBody": {"content": {"application/json": body}}} if body else {}),
        "responses": {
            "200": {"description": "What was paid for", "content": {one.mime_type: answer}},
            "402": UNPAID,
        },
        "x-payment-info": payment_info(one.prices, one.offers, by_use=one.by_use),
    }


UNPAID = {"description": "Payment Required"}


def payment_info(
    prices: Sequence[tuple[Decimal, str]], offers: Sequence[Offer], *, by_use: bool
) -> dict[str, Any]:
    """An operation's `x-payment-info`, from its amounts with their currencies."""
    amount, currency = prices[0]
    return {
        "offers": _charges(offers),
        "price": _price(money(amount), currency, by_use),
        "protocols": [{"x402": {}}, *([{"mpp": {}}] if conf.get().mpp else [])],
    }


def _in_query(interface: Interface) -> list[dict[str, Any]]:
    if interface.in_body:
        return []
    required, example = interface.schema.get("required", ()), interface.example or {}
    return [
        {
            "name": name,
            "in": "query",
            **({"required": True} if name in required else {}),
            "schema": schema,
            **({"example": example[name]} if name in example else {}),
        }
        for name, schema in interface.schema.get("properties", {}).items()
    ]


def _in_body(interface: Interface) -> dict[str, Any]:
    return _content(interface.schema, interface.example) if interface.in_body else {}


def _content(schema: Mapping[str, Any], example: Any) -> dict[str, Any]:
    return {
        **({"schema": schema} if schema else {}),
        **({"example": example} if example is not None else {}),
    }


def payment_info_of(slug: str) -> dict[str, Any] | None:
    """The same of a resource; None where it is not for sale now."""
    try:
        sale = catalog.get(slug)
    except NotForSale:
        return None
    prices = [(amount, currency) for currency, amount in sale.prices.items()]
    return payment_info(prices, sale.offers, by_use=sale.by_use)


def _price(amount: str, currency: str, by_use: bool) -> dict[str, str]:
    if by_use:
        return {"mode": "dynamic", "currency": currency, "min": "0", "max": amount}
    return {"mode": "fixed", "currency": currency, "amount": amount}


def _charges(offers: Sequence[Offer]) -> list[dict[str, Any]]:
    """Offers as MPP says them."""
    said = []
    for offer in offers:
        for method in METHODS:
            request = method.request(offer)
            if request is not None:
                said.append(
                    {
                        "intent": INTENT,
                        "method": method.method,
                        "amount": request["amount"],
                        "currency": request["currency"],
                        "description": f"{money(offer.price)} {offer.currency}",
                    }
                )
    return said


def llms(absolute: Absolute) -> str:
    """A section of `llms.txt` (llmstxt.org)."""
    lines = [
        "## Paid",
        "",
        "Each of these answers `402 Payment Required` with its price in the headers; pay with x402"
        + (" or MPP" if conf.get().mpp else "")
        + ", and ask again with the payment.",
        "",
    ]
    for one in listing.all_():
        told = " ".join(f"{one.description}".split())
        price = ", ".join(f"{money(amount)} {currency}" for amount, currency in one.prices)
        price = f"at most {price}, by use" if one.by_use else price
        where = absolute(one.path.replace("{", "%7B").replace("}", "%7D"))
        title = one.title.replace("[", "(").replace("]", ")")
        lines.append(f"- [{title}]({where}): {price}" + (f". {told}" if told else ""))
    return "\n".join(lines) + "\n"


def robots(absolute: Absolute) -> str:
    """Lines for `robots.txt` (RFC 9309): what is of no use to a crawler, and where the prices
    are."""
    mount = path_of("paywall:prices").removesuffix("prices/")
    lines = []
    for told, name in (
        ("What is sold here", "paywall_discovery:x402"),
        ("The same as OpenAPI", "paywall_discovery:openapi"),
        ("The same for people", "paywall:prices"),
    ):
        if path := path_of(name):
            lines.append(f"# {told}: {absolute(path)}")
    where, preferred = rsl.robots(absolute)
    lines += where
    if mount or preferred:
        lines.append("User-agent: *")
    if mount:
        lines += [f"Allow: {mount}prices/", f"Disallow: {mount}"]
    lines += preferred
    return "\n".join(lines) + "\n"
