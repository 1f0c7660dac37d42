"""Units: what should run on each node, and what was observed to run; values only.

A unit is one program on one node, such as a worker's Ray. The controller plans with these values
and difference.py, and a node can do the same: both need the standard library alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    Ready: TypeAlias = "Listens | RayNodes | RayRanks | LogStages | Generates"
    Observed: TypeAlias = "Running | Absent | Unread"

# How far a unit must be before another starts; ALONG: no matter, as that waits for it itself.
ALONG, STARTED, REACHABLE, READY = "along", "started", "reachable", "ready"
# How far a unit that runs has come.
STARTING, FAILED = "starting", "failed"
RANK = "rank"
CONTAINER = "container"  # the kind of the units that others run in


@dataclass(frozen=True)
class Need:
    """`unit` must be `until` (along, started, reachable, ready) before this one starts.

    `follows`: when that unit restarts, so does this one. In any case this one is stopped first.
    """

    unit: str
    until: str = READY
    follows: bool = True


@dataclass(frozen=True)
class Member:
    """`count` processes that live on `node` while the unit is ready.

    `what` is "rank" (node/ranks.py), or a word of their command lines: a program's name, `serve`.
    """

    node: str
    what: str
    count: int = 1


@dataclass(frozen=True)
class Program:
    """What to run; `environment` is over the node's own, and no part of the digest: it names what
    the unit needs, and a restart of that is a restart of this one.

    `ends`: it exits with status 0 within so many seconds and leaves daemons; 0: it stays. `inside`
    is a command line that runs the one that follows it in a container.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    ends: float = 0.0
    inside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listens:
    """Something accepts TCP connections there, as seen from the unit's node."""

    address: str
    port: int


@dataclass(frozen=True)
class RayNodes:
    """The GCS at `address` lists each of these addresses as alive with so many GPUs.

    `python` is an interpreter on the unit's node that has ray, `inside` as a Program's.
    """

    address: str
    python: str
    nodes: Mapping[str, float]
    seconds: float
    inside: tuple[str, ...] = ()


@dataclass(frozen=True)
class RayRanks:
    """Ray has put no more ranks on an address than `most` allows."""

    address: str
    python: str
    most: Mapping[str, int]
    inside: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogStages:
    """The program's log passes the last stage of its engine (engines/), with no pause of `stall`
    seconds.
    """

    engine: str
    stall: float


@dataclass(frozen=True)
class Generates:
    """The OpenAI API at `base`, as its own node reaches it, completes a request."""

    base: str
    model: str


@dataclass(frozen=True)
class Stop:
    """SIGTERM to all its processes, to those of `last` when the others have ended, and SIGKILL
    after `grace` seconds. `drain`: seconds at most until no request runs, before that.

    `leader`: SIGTERM goes to the program alone. `argv`: a command that ends the unit instead, for
    what the login may not signal.
    """

    grace: float = 10.0
    drain: float = 0.0
    last: tuple[str, ...] = ()
    leader: bool = False
    argv: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unit:
    """What should run on a node; `id` is service/replica/kind/node, as "vllm/0/ray/spark-1",
    `title` what people call it.

    Units of one `group` start and are replaced together. It is reachable with `reachable`, ready
    with all of `ready`. `digest` is of all that would make it start differently.
    """

    id: str
    node: str
    kind: str
    title: str
    group: str
    program: Program
    needs: tuple[Need, ...] = ()
    members: tuple[Member, ...] = ()
    reachable: Listens | None = None
    ready: tuple[Ready, ...] = ()
    stop: Stop = field(default_factory=Stop)
    digest: str = ""


@dataclass(frozen=True)
class Process:
    """A process of a unit; `rank` as in node/ranks.py."""

    node: str
    pid: int
    command: str
    rank: bool = False


@dataclass(frozen=True)
class Running:
    """A unit that has processes; `phase` is starting, ready, failed or stopped.

    `processes` are its own, and the ranks of its members on other nodes. `since` is in seconds
    since the epoch. `digest` is empty where there is no record of its start.
    """

    node: str
    run: str
    digest: str
    phase: str
    since: float
    processes: tuple[Process, ...] = ()


@dataclass(frozen=True)
class Absent:
    """No process of the unit runs."""

    node: str


@dataclass(frozen=True)
class Unread:
    """Whether it runs is unknown: it is neither started nor counted as stopped."""

    node: str
    reason: str
