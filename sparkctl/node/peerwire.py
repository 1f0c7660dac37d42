"""What peers.py is called with and what it answers, for the type checker alone, as wire.py.

facts/peeranswers.py declares the answer's shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence


class Ping(TypedDict):
    """`size` is the payload in bytes."""

    to: str
    interface: str
    address: str
    size: int


class Connect(TypedDict):
    """An address and a port to connect to."""

    to: str
    what: str
    address: str
    port: int


class Pinged(Ping):
    """Packets `sent` and `received`; `error` is why all were lost, `problem` why none was sent."""

    sent: int | None
    received: int | None
    error: str | None
    problem: str | None


class Connected(Connect):
    """`error` is null for a connection; `errno` is its name, null without an answer."""

    error: str | None
    refused: bool
    errno: str | None


class Route(TypedDict):
    """The way to an address, see node/routes.py."""

    interface: str | None
    gateway: str | None
    problem: str | None
    neighbour: str | None


class Firewalls(TypedDict):
    """Names of firewalls, see node/firewalls.py."""

    active: list[str]
    installed: list[str]


class Tried(TypedDict):
    """What came of the pings and connections."""

    pings: list[Pinged]
    connects: list[Connected]
    routes: dict[str, Route]
    firewalls: Firewalls
    counters: dict[str, dict[str, int]]


class Peers(TypedDict):
    """What to send to the peers."""

    pings: Sequence[Ping]
    connects: Sequence[Connect]
