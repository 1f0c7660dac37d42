"""What an engine is: the units that serve a model, and what is known of their start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sparkctl.engines.choice import NO_RECIPE
from sparkctl.node.subprocesses import reason
from sparkctl.node.units import CONTAINER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sparkctl.doubts import Doubt
    from sparkctl.engines.choice import Choice
    from sparkctl.engines.explanation import Explanation
    from sparkctl.engines.setting import Setting
    from sparkctl.engines.share import Share
    from sparkctl.fabric.selection import FabricChoice
    from sparkctl.facts.answers import Parsed
    from sparkctl.facts.calls import Call
    from sparkctl.facts.node import NodeFacts
    from sparkctl.inventory.layers import Layer
    from sparkctl.inventory.models import Argument, Inventory, Node, View
    from sparkctl.inventory.paths import Path, Problem
    from sparkctl.node.units import Unit
    from sparkctl.runtimes.runtime import Place, Runtime


TAIL = 60  # lines of a log that a user reads
OF_CONTAINER = (
    "run `sparkctl doctor`, whose checks container.* look at the engine, the image, the mounts and"
    " the GPU; what the inventory adds to `docker run` is in runtime.flags and runtime.mounts"
)


@dataclass(frozen=True)
class Part:
    """A node of a replica: its fabric, its environment without what the engine adds, its home."""

    node: Node
    choice: FabricChoice
    environment: Mapping[str, Setting]
    home: str


@dataclass(frozen=True)
class Replica:
    """What units are made from: a service's view of the inventory, and its nodes, the head first.

    `places` are the same nodes for the runtime, `temp_dir` is a directory of the units on each.
    """

    inventory: View
    parts: Mapping[str, Part]
    recipe: Choice
    runtime: Runtime
    places: Mapping[str, Place]
    temp_dir: str
    index: int = 0

    @property
    def name(self) -> str:
        """service/replica, with which the ids of its units begin."""
        return f"{self.inventory.service}/{self.index}"

    @property
    def head(self) -> Part:
        """The head's part."""
        return self.parts[self.inventory.head.name]

    def unit(self, kind: str, node: str) -> str:
        """The id of a unit."""
        return f"{self.name}/{kind}/{node}"


class Progress(Protocol):
    """How far an engine's log shows its start; fed with the log as it grows."""

    percent: int | None
    news: int

    @property
    def stage_id(self) -> str:
        """The stage's stable id, `starting` before the first one."""

    @property
    def title(self) -> str:
        """The stage's title, for people."""

    @property
    def usual(self) -> str:
        """How long the stage takes as a rule, for people; empty where that is not known."""

    @property
    def ready(self) -> bool:
        """Whether the log says that it is up; a request may still fail."""

    @property
    def joined(self) -> bool:
        """Whether the ranks have joined, and so have their nodes."""

    @property
    def failed(self) -> bool:
        """Whether a line says that it failed."""

    @property
    def described(self) -> str:
        """The cause of a failure, in one line; empty without one."""

    @property
    def source(self) -> str:
        """The process that logged it; empty where that is unknown."""

    @property
    def tail(self) -> list[str]:
        """The last lines, as many as a user reads."""

    @property
    def lines(self) -> list[str]:
        """The log's first and last lines."""

    def feed(self, text: str) -> bool:
        """Take more of the log, cut anywhere; True when the stage or percentage changed."""


class Silent:
    """The progress of an engine whose log shows none: its lines alone."""

    percent: int | None = None
    news = 0
    stage_id = title = "starting"
    ready = joined = failed = False
    described = source = usual = ""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @property
    def tail(self) -> list[str]:
        """The last lines, as many as a user reads."""
        return self.lines[-TAIL:]

    def feed(self, text: str) -> bool:
        """Keep the lines, no more than a user reads."""
        self.lines = [*self.lines, *text.splitlines()][-TAIL:]
        return False


def _no_explanation(_progress: Progress, *, waited: bool) -> Explanation | None:
    del waited
    return None


class Ended(NamedTuple):
    """Why a unit's program failed: a code, the text, and the known failure that it is; `hint` is
    what to do about any other.
    """

    code: str
    text: str
    known: Explanation | None = None
    hint: str | None = None


def ended(engine: Engine, unit: Unit, status: int | None, tail: Sequence[str]) -> Ended:
    """Why a unit's program failed, by its exit status (None: it did not end in time) and the last
    lines that it printed. A container is no engine's.
    """
    if unit.kind != CONTAINER:
        return engine.ended(unit, status, tail)
    said = reason(tail) or f"exit status {status}"
    why = f" within {unit.program.ends:g} s" if status is None else f": {said}"
    return Ended("container-start", f"the container did not start{why}", hint=OF_CONTAINER)


def _ended(unit: Unit, status: int | None, tail: Sequence[str]) -> Ended:
    if status is None:
        return Ended("start-timeout", f"{unit.title} did not start within {unit.program.ends:g} s")
    last = reason(tail) or "it printed nothing"
    return Ended("start-failed", f"{unit.title} exited with status {status}: {last}")


class Graphs(NamedTuple):
    """Whether arguments have an engine capture CUDA graphs, and which turn that off, for people."""

    captured: Callable[[Mapping[str, Argument]], bool]
    off: str


@dataclass(frozen=True)
class Judged:
    """What the doctor's checks judge of an engine, but for what its units say; see Check.lacks.

    The runtime can import `modules`, and all nodes have one version of `packages`. `memory` is the
    share of a node's that the engine claims. `checkpoint`: `model` names one that each node has, or
    the hub. `recipes`: `recipe` chooses one. `steps`: its log shows engine steps, as vLLM's does,
    and so an engine that hangs. `counted`: what has /metrics show them, in the form of text.KEY.
    `graphs` is about CUDA graphs.
    """

    modules: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    memory: Share | None = None
    checkpoint: bool = False
    recipes: bool = False
    steps: bool = False
    counted: str = ""
    graphs: Graphs | None = None


class Codes(NamedTuple):
    """The codes of what is reported of an engine: that it is running; of a start that it exited,
    that a line says it failed, that its log showed no progress.
    """

    running: str = "vllm-running"
    exited: str = "vllm-exited"
    failed: str = "vllm-failed"
    stalled: str = "vllm-stalled"


CODES = Codes()


@dataclass(frozen=True)
class Engine:
    """A row of the table of engines.

    `kind` is the kind of the units that serve, `executors` the names that `executor` may have, the
    default first; `over` has the rows of those that another row is for. `units` gives a replica's
    units, each after what it needs, without a digest: also where nothing but the inventory is known
    (plan/outline.py). `environment` is each node's, `built_in` how it differs from vLLM's before
    any layer (None: unset), `own` what the mechanism needs over every layer. `host_ip` is the
    variable with the node's own address. `recipe` is by the head's facts, and may raise Missing,
    `unread` by the inventory alone. `base` is the API's URL at a host, `model` its name there.
    `problems` are those of a service's arguments, by its place in the file. `parser` asks a node
    what the engine's own parser says of a unit's command line. `secrets` are files on each node
    with one random token for all. `judged` is for doctor, as are `ports`: those of the head that no
    unit's `ready` names, by their keys, or by the flag where sparkctl sets it itself. `ended`
    explains a program that ended with this status (None: it did not end in time) and these last
    lines.
    """

    title: str
    kind: str
    executors: tuple[str, ...]
    units: Callable[[Replica], list[Unit]]
    environment: Callable[
        [Inventory, Node, FabricChoice | None, list[Layer], NodeFacts | None], dict[str, Setting]
    ]
    base: Callable[[Inventory, str], str]
    model: Callable[[Inventory, str], str]
    built_in: Mapping[str, str | None] = field(default_factory=dict)
    host_ip: str = "VLLM_HOST_IP"
    own: Callable[[Inventory, str, str], dict[str, str]] = lambda _inventory, _home, _temp: {}
    recipe: Callable[[Inventory, NodeFacts], Choice] = lambda _inventory, _facts: NO_RECIPE
    unread: Callable[[Inventory], Choice] = lambda _inventory: NO_RECIPE
    doubts: Callable[[Inventory, Mapping[str, str], Choice], list[Doubt]] = lambda *_: []
    problems: Callable[[Path, Mapping[str, Argument]], Iterator[Problem]] = lambda *_: iter(())
    parser: Call[Parsed] | None = None
    secrets: tuple[str, ...] = ()
    judged: Judged = Judged()
    ports: Callable[[Inventory], dict[str, int]] = lambda _inventory: {}
    over: Mapping[str, Engine] = field(default_factory=dict)
    progress: Callable[[], Progress] = Silent
    explain: Callable[..., Explanation | None] = _no_explanation
    ended: Callable[[Unit, int | None, Sequence[str]], Ended] = _ended
    codes: Codes = CODES
