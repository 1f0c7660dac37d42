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


class Route(TypedDict):
    """A route; `dst` is a network, an address, or "default"."""

    dst: str


class Namespace(TypedDict):
    """A network namespace."""

    name: str


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


def routes(text: str) -> list[Route]:
    """The routes of `ip route show`, which prints nothing when there are none."""
    listed: list[Route] = json.loads(text or "[]")
    return listed


def namespaces(text: str) -> list[Namespace]:
    """The namespaces of `ip netns list`, which prints nothing when there are none."""
    listed: list[Namespace] = json.loads(text or "[]")
    return listed
