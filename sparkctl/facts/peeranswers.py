"""The shape of what node/peers.py answers: what a node could reach of the others."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from sparkctl.facts.groups import Counters
from sparkctl.facts.shape import Count, Name, Rows, Shape, Text, Whole


class Ping(Shape):
    """Pings from an interface: `error` is why all were lost, `problem` why none was sent.

    `sent` and `received` are packets.
    """

    to: Name
    interface: Name
    address: Name
    size: Whole
    sent: Count | None = None
    received: Count | None = None
    error: Text | None
    problem: Text | None


class Connect(Shape):
    """A TCP connection that was tried."""

    to: Name
    what: Name
    address: Name
    port: Count
    error: Text | None
    refused: bool  # by the node itself, so it was reached
    errno: Name | None = None


class Route(Shape):
    """The way from a node to an address (node/routes.py)."""

    interface: Name | None
    gateway: Name | None
    problem: Text | None
    neighbour: Name | None


class Firewalls(Shape):
    """The firewalls of a node that are known to be active, and those that are installed."""

    active: Rows[Name]
    installed: Rows[Name]


class Peers(Shape):
    """What a node could reach of the others; `routes` are to the addresses that it could not."""

    pings: Rows[Ping]
    connects: Rows[Connect]
    routes: Mapping[Name, Route] = Field(default_factory=dict)
    firewalls: Firewalls | None = None
    counters: Counters
