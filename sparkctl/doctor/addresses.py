"""Masks public addresses in a text, whatever surrounds them; pure."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from sparkctl.secret.names import MASK

# NCCL writes `enp1s0f0np0:8.8.8.8<0>` (its src/misc/socket.cc), logs `8.8.8.8:30000`, `[::1]:22`.
# More than four numbers, or letters before them, make a version.
IPV4 = re.compile(r"(?<![A-Za-z0-9])(?<!\d\.)\d{1,3}(?:\.\d{1,3}){3}(?!\d|\.\d)")
VERSION = re.compile(
    r"(?i)(?:[=<>~!]=|\.so\.|\b(?:version|release|driver|firmware|cuda|cudnn|nccl)[\s:=\"']{1,3})$"
)
# Words with colons: an IPv6 address, with or without an interface, a port or the name of a GID.
WORDS = re.compile(r"(?<![\w:])\w*(?::\w*){2,}(?:\.\w+)*")
GROUPS = 8  # of an IPv6 address
# The rest of the public space is unassigned: https://www.iana.org/assignments/ipv6-address-space
UNICAST = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052


def without_public_addresses(text: str) -> str:
    """The text with **** for each public IPv4 and IPv6 address.

    Private, link-local and documentation addresses stay, as do versions, ports, MAC and PCI
    addresses.
    """
    text = WORDS.sub(lambda m: _masked_ipv6(m[0]), text)
    return IPV4.sub(lambda m: m[0] if VERSION.search(text[: m.start()]) else _ipv4(m[0]), text)


def _ipv4(text: str) -> str:
    try:
        return MASK if IPv4Address(text).is_global else text
    except ValueError:
        return text


def _masked_ipv6(text: str) -> str:
    """The words with the longest public address masked, and any after it."""
    words = text.split(":")
    for count in range(min(len(words), GROUPS + 2), 2, -1):
        for first in range(len(words) - count + 1):
            last = first + count
            if _public(":".join(words[first:last])):
                before, behind = words[:first], _masked_ipv6(":".join(words[last:]))
                return ":".join([*before, MASK, *([behind] if words[last:] else [])])
    return text


def _public(text: str) -> bool:
    try:
        address = IPv6Address(text)
    except ValueError:
        return False
    inside = address.ipv4_mapped
    if address in NAT64:
        inside = IPv4Address(int(address) & 0xFFFFFFFF)
    if inside is not None:
        return inside.is_global
    return address in UNICAST and address.is_global
