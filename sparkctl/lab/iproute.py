"""What `ip -json` prints, as far as the lab reads it; the standard library alone."""

from __future__ import annotations

import json
from typing import TypedDict


class Address(TypedDict):
    """An address of a link."""

    family: str  # "inet" or "inet6"
    local: str


class Link(TypedDict):
    """A link; `address` is its hardware address."""

    ifindex: int
    ifname: str
    link_type: str  # "ether", or "loopback"
    address: str
    operstate: str
    flags: list[str]
    addr_info: list[Address]  # of `ip address` alone


def links(text: str | bytes) -> dict[str, Link]:
    """The links of `ip address show` or `ip link show`, by name."""
    listed: list[Link] = json.loads(text)
    return {link["ifname"]: link for link in listed}


def is_up(link: Link) -> bool:
    """Whether a link is administratively up."""
    return "UP" in link["flags"]


def has_carrier(link: Link) -> bool:
    """Whether a link has a carrier, which the kernel knows some time before its operstate."""
    return "LOWER_UP" in link["flags"]


def ipv4(link: Link) -> tuple[str, ...]:
    """The IPv4 addresses of a link of `ip address show`."""
    return tuple(a["local"] for a in link["addr_info"] if a["family"] == "inet")


def destinations(text: str) -> list[str]:
    """The destinations of `ip route show`: networks, addresses, and "default"."""
    return [str(route["dst"]) for route in json.loads(text or "[]")]


def namespaces(text: str) -> list[str]:
    """The names of `ip netns list`, which prints nothing when there are none."""
    return [str(namespace["name"]) for namespace in json.loads(text or "[]")]
