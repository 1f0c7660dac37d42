"""The shapes of all other answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sparkctl.facts.groups import Holder
from sparkctl.facts.processes import OurProcess, Process
from sparkctl.facts.shape import (
    Count,
    Digits,
    Name,
    Number,
    Pid,
    Rows,
    Seconds,
    Shape,
    Text,
    Uid,
    Whole,
)
from sparkctl.node.vitals import describe, figures


class Failed(Shape):
    """Why a question has no answer; `foreign`: something answers that is not understood."""

    error: Text
    foreign: bool = False


class RayNode(Shape):
    """A node in Ray's table; `gpus` is what it brings."""

    id: Name
    address: Name
    hostname: Name
    alive: bool
    gpus: Number


class RayGroup(Shape):
    """A placement group: the node of each bundle, and its GPUs."""

    state: Name
    bundles: Mapping[Digits, Text | None]
    gpus: Mapping[Digits, Number]


class RayTable(Shape):
    """Ray's nodes and placement groups, and which addresses are missing."""

    nodes: Rows[RayNode]
    groups: Rows[RayGroup]
    missing: Rows[Name]
    ray: Name


class Health(Shape):
    """An engine's health (node/vitals.py)."""

    state: Literal["generating", "busy", "wedged", "failing", "silent", "unclear"]
    running: Count | None = None
    waiting: Count | None = None
    tokens_per_second: Seconds | None = None
    still_for: Seconds | None = None

    @model_validator(mode="after")
    def _has_a_time(self) -> Self:
        if self.state == "wedged" and self.still_for is None:
            raise ValueError("wedged, and not for how long")
        return self

    @property
    def figures(self) -> str:
        """What is known besides the state, as `64 running, 136 waiting, 420 tokens/s`."""
        return figures(self.model_dump(exclude_none=True))

    def __str__(self) -> str:
        return describe(self.model_dump(exclude_none=True))


class Completion(Shape):
    """A completion, or why there is none (node/completion.py)."""

    version: Text | None = None
    models: Rows[Name] | None = None
    text: Text | None = None
    tokens: Count | None = None
    seconds: Seconds | None = None
    error: Text | None = None
    status: Count | None = None
    refused: bool | None = None
    dropped: bool | None = None
    health: Health | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.error is None and self.models is None:
            raise ValueError("neither models nor an error")
        if (self.tokens is None) != (self.seconds is None) and self.error is None:
            raise ValueError("tokens without seconds, or seconds without tokens")
        return self


class Looked(Shape):
    """A completion, and Ray's table if it was asked for (node/look.py)."""

    completion: Completion
    table: RayTable | Failed | None = None


class Asked(Shape):
    """Where a node has recorded an API, and a Ray if there is one."""

    base: Text
    address: Name | None
    wanted: Mapping[Name, Number]


class Recalled(Shape):
    """What a node's record led to (node/look.py)."""

    asked: Asked | None
    seen: Looked | None


class Import(Shape):
    """A module's version, or why it cannot be imported."""

    version: Text | None
    error: Text | None


class Parsed(Shape):
    """What a program's own parser says of its command line; `error` is None where it takes it."""

    error: Text | None


class Lines(Shape):
    """NCCL's lines of a log by number, the log's tail, and the lines around errors by number."""

    lines: Rows[Annotated[tuple[Count, str], Field(strict=False)]]
    cut: Count
    tail: Rows[str]
    errors: Rows[Annotated[tuple[Count, str], Field(strict=False)]] = ()
    path: Name


class LeaseTaken(Shape):
    """Who holds the lease instead, if anybody."""

    holder: Holder | None
    unwritten: Text | None
    shared: bool


class LeaseRenewed(Shape):
    """Whether the lease is still held."""

    held: bool
    holder: Holder | None


class Stale(Shape):
    """Who holds the lease: another, where a call's is no longer in force; None for nobody."""

    holder: Holder | None


class Idle(Shape):
    """The requests that an engine has; None if its metrics do not show them."""

    requests: Count | None


class Nothing(Shape):
    """An answer without content."""


class Ran(Shape):
    """How a program ended."""

    status: Whole | None
    tail: Rows[str]


class Started(Shape):
    """A process that was started, where its log begins, and its exit status once it has ended."""

    pid: Pid
    started: Count
    log: Name
    offset: Count
    status: Whole | None = None


class Waited(Shape):
    """What came of waiting for a program (node/waits.py); `tail` is the end of its log."""

    listens: bool
    ended: bool
    status: Whole | None
    tail: Rows[str]


class Cluster(Shape):
    """A cluster by its id: who started it, and the nodes that it has."""

    id: Name
    by: Mapping[Name, Text]
    nodes: Mapping[Name, Mapping[Name, Any]]


class HostCluster(Shape):
    """A cluster of the account on a node (node/clusters.py); `record` is the text of applied.json.

    `unread`: why its files could not be read.
    """

    name: Name
    record: str | None
    lease: Holder | None
    unread: Text | None
    processes: Rows[OurProcess]


class OtherCluster(Shape):
    """A cluster of another account, with so many processes that could be seen."""

    uid: Uid
    user: Text
    cluster: Name
    processes: Count


class Clusters(Shape):
    """What runs on a node, whatever the inventory; `left_out` clusters are not in it."""

    clusters: Rows[HostCluster]
    left_out: Count
    others: Rows[OtherCluster]


class Joined(Shape):
    """The other cluster of that name that the node is of, if it is."""

    other: Cluster | None


class Forgotten(Shape):
    """The units whose records were removed."""

    forgotten: Rows[Name]


class Stopped(Shape):
    """What was ended, what is still running, and why the command that ends it failed."""

    stopped: Rows[Process]
    remaining: Rows[Process]
    error: Text | None = None


class Removed(Shape):
    """What was removed."""

    removed: Rows[Name]


class Cleared(Stopped, Removed):
    """What was ended and removed."""


class Changed(Shape):
    """The files that were changed."""

    changed: Rows[Name]


class Prepared(Changed):
    """The files that were written; or the folder that could not be made, and why."""

    folder: Text | None = None
    reason: Text = ""


class Position(Shape):
    """How far a log was read, for node/follow.py to go on from."""

    path: Name
    offset: Count
    begins: Annotated[str, Field(pattern=r"^[0-9]{1,3}:[0-9a-f]{1,8}$")]


class JournalEntry(Shape):
    """A change of a node, see node/entries.py; `done` if it is complete."""

    id: Name
    owner: Name
    undo: Name
    title: Name
    when: Name
    done: bool


class Journal(Shape):
    """The changes in a journal; `root`: whether root has a journal too."""

    entries: Rows[JournalEntry]
    root: bool


class Untaken(JournalEntry):
    """A change that could not be taken back."""

    error: Text


class TakenBack(Shape):
    """The changes that were taken back, and those that could not be."""

    taken: Rows[JournalEntry]
    failed: Rows[Untaken]


class Followed(Shape):
    """An event of a log that is followed; `at` is the position after its text, `untimed` that
    `since` could not be applied.
    """

    text: str | None = Field(default=None)
    at: Position | None = None
    untimed: bool = False
    exited: Pid | None = None
