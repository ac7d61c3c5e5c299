"""From which network a request comes, as far as the site's proxies can be believed."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

from paywall import conf

if TYPE_CHECKING:
    from django.http import HttpRequest

_IPV4_RANGE, _IPV6_RANGE = 24, 48
"""So many bits are what one household or office has."""

_WITH_PORT = re.compile(r"\[(?P<v6>[^\]]+)\](:\d+)?|(?P<v4>[\d.]+):\d+")
"""As some proxies write it (RFC 7239, section 6)."""


def address_of(request: HttpRequest) -> IPv4Address | IPv6Address | None:
    """The address that a request comes from. None if nobody knows."""
    meta = request.META
    return address_in(meta.get("REMOTE_ADDR", ""), meta.get("HTTP_X_FORWARDED_FOR", ""))


def address_in(remote: str, forwarded: str) -> IPv4Address | IPv6Address | None:
    """The same, by the server's own word and `X-Forwarded-For`."""
    proxies = conf.get().proxies
    chain = [part.strip() for part in forwarded.split(",") if part.strip()] if proxies else []
    chain.append(remote)
    if len(chain) <= proxies:
        return None
    text = chain[-1 - proxies]
    with_port = _WITH_PORT.fullmatch(text)
    if with_port:
        text = with_port["v6"] or with_port["v4"]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def network_of(request: HttpRequest) -> str | None:
    """The network that a request comes from: /24 of IPv4, /48 of IPv6. None if nobody knows."""
    address = address_of(request)
    if address is None:
        return None
    bits = _IPV4_RANGE if address.version == 4 else _IPV6_RANGE
    return f"network {ip_network((address, bits), strict=False)}"
