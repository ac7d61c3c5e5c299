"""Whether an address is a bot's: by the lists that its owner publishes, and by reverse DNS."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

Address = IPv4Address | IPv6Address

_BROADEST = {4: 8, 6: 16}
"""A list with a range broader than that is wrong, or means everybody."""


class Ranges:
    """Address ranges, asked by a few look-ups however many they are."""

    def __init__(self, prefixes: Iterable[str]) -> None:
        self._by_bits: dict[tuple[int, int], set[int]] = {}
        for prefix in prefixes:
            network = ip_network(prefix, strict=False)
            if network.prefixlen < _BROADEST[network.version]:
                raise ValueError(f"{prefix} is too broad")
            size = network.max_prefixlen - network.prefixlen
            at = self._by_bits.setdefault((network.version, size), set())
            at.add(int(network.network_address) >> size)

    def __contains__(self, address: Address) -> bool:
        number = int(address)
        return any(
            version == address.version and number >> size in networks
            for (version, size), networks in self._by_bits.items()
        )


def prefixes(document: Any) -> list[str]:
    """The ranges of a published list: Google's form, which the others have too, or plain lists.
    Raises `ValueError` where there are none, or they are no ranges."""
    found = list(_strings(document))
    Ranges(found)
    if not found:
        raise ValueError("no address ranges in it")
    return found


_KEYS = frozenset({"ipv4Prefix", "ipv6Prefix", "ip_prefix", "ipv6_prefix", "ip", "cidr", "prefix"})


def _strings(document: Any) -> Iterable[str]:
    entries = document
    if isinstance(document, dict):
        lists = (document.get(key) for key in ("prefixes", "ipv6_prefixes", "ips", "ranges"))
        entries = [entry for found in lists if isinstance(found, list) for entry in found]
    if not isinstance(entries, list):
        raise ValueError("no list")
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        elif isinstance(entry, dict):
            yield from (str(value) for key, value in entry.items() if key in _KEYS)


def read(text: str) -> Address | None:
    """An address as a server has it; None for what is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
