"""The shapes of all other answers, by the function of sparkctl/node that gives them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sparkctl.facts.probe import Counters, Holder, Process
from sparkctl.facts.shape import (
    Count,
    Digits,
    Name,
    Number,
    Pid,
    Seconds,
    Shape,
    Text,
    Whole,
)


class Failed(Shape):
    error: Text


class RayNode(Shape):
    id: Name
    address: Name
    hostname: Name
    alive: bool
    gpus: Number


class RayGroup(Shape):
    state: Name
    bundles: dict[Digits, Text | None]
    gpus: dict[Digits, Number]


class RayTable(Shape):
    nodes: list[RayNode]
    groups: list[RayGroup]
    missing: list[Name]
    ray: Name


class Health(Shape):
    state: Literal["generating", "busy", "wedged", "failing", "silent", "unclear"]
    running: Count | None = None
    waiting: Count | None = None
    tokens_per_second: Seconds | None = None
    still_for: Seconds | None = None

    @model_validator(mode="after")
    def _tells(self) -> Self:
        if self.state == "wedged" and self.still_for is None:
            raise ValueError("wedged, and not for how long")
        return self


class Completion(Shape):
    version: Text | None = None
    models: list[Name] | None = None
    text: Text | None = None
    tokens: Count | None = None
    seconds: Seconds | None = None
    error: Text | None = None
    status: Count | None = None
    refused: bool | None = None
    dropped: bool | None = None
    health: Health | None = None

    @model_validator(mode="after")
    def _tells(self) -> Self:
        if self.error is None and self.models is None:
            raise ValueError("neither models nor an error")
        if (self.tokens is None) != (self.seconds is None) and self.error is None:
            raise ValueError("tokens without seconds, or seconds without tokens")
        return self


class Ping(Shape):
    to: Name
    interface: Name
    address: Name
    size: Whole
    error: Text | None
    problem: Text | None


class Connect(Shape):
    to: Name
    what: Name
    address: Name
    port: Count
    error: Text | None


class Peers(Shape):
    pings: list[Ping]
    connects: list[Connect]
    counters: Counters


class Import(Shape):
    version: Text | None
    error: Text | None


def _numbered(value: list[int | str]) -> list[int | str]:
    if [type(v) for v in value] != [int, str]:
        raise ValueError("no pair of a number and a text")
    return value


class Lines(Shape):
    lines: list[Annotated[list[Count | str], AfterValidator(_numbered)]]
    cut: Count
    tail: list[str]
    path: Name


class LeaseTaken(Shape):
    holder: Holder | None
    unwritten: Text | None
    shared: bool


class LeaseRenewed(Shape):
    held: bool
    holder: Holder | None


class Stale(Shape):
    """What a call answers whose lease is no longer in force."""

    holder: Holder | None


class Nothing(Shape):
    pass


class Ran(Shape):
    status: Whole | None
    tail: list[str]


class Started(Shape):
    pid: Pid
    started: Count
    log: Name
    offset: Count


class Stopped(Shape):
    stopped: list[Process]
    remaining: list[Process]


class Removed(Shape):
    removed: list[Name]


class Cleared(Stopped, Removed):
    pass


class Changed(Shape):
    changed: list[Name]


class Followed(Shape):
    """An event of a log that is followed."""

    text: str | None = Field(default=None)
    exited: Pid | None = None


SHAPES: dict[str, Any] = {
    "change.run": Nothing,
    "completion.ask": Completion,
    "stop.clear": Cleared,
    "stop.remove": Removed,
    "stop.stop": Stopped,
    "files.read": dict[Name, str | None],
    "files.write": Changed,
    "follow.follow": Followed,
    "imports.imports": dict[Name, Import],
    "launch.run": Ran,
    "launch.start": Started,
    "lease.release": Nothing,
    "lease.renew": LeaseRenewed,
    "lease.stale": Stale,
    "lease.take": LeaseTaken,
    "nccllines.lines": Lines,
    "peers.peers": Peers,
    "raytable.table": Failed | RayTable,
    "sharedmemory.note": Changed,
    "verbs.counters": Counters,
}
