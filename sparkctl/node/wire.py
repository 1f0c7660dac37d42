"""What node functions are called with and what they answer, for the type checker alone.

Nothing imports it at run time, so it is not sent to nodes. facts/ declares each answer's shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NotRequired, TypeAlias, TypedDict

if TYPE_CHECKING:
    from sparkctl.node.boxwire import Program

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
Answer: TypeAlias = Mapping[str, Json]


class Cluster(TypedDict):
    """The cluster that a call is about."""

    cluster: str


class Write(Cluster):
    """`files`: name to text; `temp_dir` is made if it is given."""

    files: Mapping[str, str]
    temp_dir: NotRequired[str]


class Read(Cluster):
    """Names of files in the state directory."""

    names: Sequence[str]


class Record(TypedDict):
    """What state.py keeps of a start; secrets are masked in `unit` and hashed in the others."""

    unit: Mapping[str, Json]
    salt: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    digest: str
    who: str


class Start(Cluster):
    """A program to start, of a unit (its id, or a kind alone); `shown` is its command line with
    masked secrets, for the log; `wait`: seconds to wait for its end; `inside` as a Program's
    (units.py).
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    run: str
    unit: str
    shown: NotRequired[str]
    record: NotRequired[Record]
    wait: NotRequired[float]
    inside: NotRequired[Sequence[str]]


class Run(Start):
    """A program to run to its end."""

    timeout: float


class Named(TypedDict):
    """A change by its name in undo.py's table, and its data."""

    name: str
    data: Mapping[str, Json]


class JournalChange(Cluster):
    """A change, the owner of its entry, and what it is in words."""

    owner: str
    do: Named
    title: str
    keep: NotRequired[bool]
    unfinished: NotRequired[bool]


class Prepare(Cluster):
    """Files to write for a run, and the owner of its journal entries, `up/RUN`."""

    files: Mapping[str, str]
    owner: str
    temp_dir: str
    folders: NotRequired[Sequence[str]]
    units: NotRequired[Sequence[str]]
    tool: NotRequired[str]


class Support(Cluster):
    """The units whose logs are asked for, by id."""

    units: Sequence[str]


class Settle(Cluster):
    """Units that are ready, each with the run that started it."""

    units: Mapping[str, str]


class Recover(Cluster):
    """Units that go on, each with the run that started it."""

    keep: Mapping[str, str]


class JournalOf(Cluster):
    """The login's journal, or root's."""

    root: NotRequired[bool]


class TakeBack(JournalOf):
    """Whose changes are taken back, and whether only those that are not complete."""

    owner: str
    unfinished: bool


class Address(TypedDict):
    """A TCP address."""

    address: str
    port: int


class Until(Cluster):
    """What to wait for, see node/waits.py, in seconds."""

    unit: str
    run: str
    listens: Address | None
    ends: bool
    timeout: float


class Join(Cluster):
    """`by` has who and when; `nodes` has of each node its host and how SSH reaches it."""

    id: str
    by: Mapping[str, str]
    nodes: Mapping[str, Mapping[str, Json]]


class Phase(Cluster):
    """How far a unit has come that `run` started."""

    unit: str
    run: str
    phase: str


class Forget(Cluster):
    """Units by id, or by kind for those of an older release."""

    units: Sequence[str]


class Stop(Cluster):
    """Which processes to stop, and how, see node/stop.py; seconds of `grace`."""

    units: NotRequired[Sequence[str]]
    roles: NotRequired[Sequence[str]]
    run: NotRequired[str | None]
    grace: NotRequired[float]
    last: NotRequired[Sequence[str]]
    leader: NotRequired[bool]
    argv: NotRequired[Sequence[str]]


class Remove(Cluster):
    """`temp_dir` is Ray's and vLLM's directory, `owner` whose entries leave the journal."""

    temp_dir: str
    owner: NotRequired[str]


class Clear(Remove):
    """Seconds of `grace`."""

    grace: NotRequired[float]


class Renewal(Cluster):
    """The holder's token, and for how many seconds."""

    token: str
    seconds: float


class Take(Renewal):
    """`owner` has who, when and why."""

    owner: Mapping[str, str]
    force: NotRequired[bool]


class Patience(Cluster):
    """Seconds to wait at most."""

    timeout: float


class Token(Cluster):
    """The holder's token."""

    token: str


class Belongings(Read):
    """Files to read; `temp_dir` is Ray's and vLLM's directory, `lease` the caller's token."""

    temp_dir: str
    lease: str | None


class Probe(Belongings):
    """What the facts of a node depend on, see node/probe.py."""

    venv: str
    image: str
    tools: Sequence[str]
    mounts: Sequence[str]
    reader: Program | None
    model: str
    revision: str | None
    hub: Mapping[str, str]
    conf_file: str
    ports: Sequence[int]
    worker_ports: Sequence[int]
    watch: Sequence[str]


class Ask(Cluster):
    """What to ask vLLM's API at `base`, and its bounds in seconds, see node/completion.py."""

    base: str
    tokens: NotRequired[int]
    timeout: NotRequired[float]
    answer: NotRequired[float]
    still: NotRequired[float]
    patience: NotRequired[float]
    first: NotRequired[bool]
    engine: NotRequired[bool]
    pid: NotRequired[int]
    started: NotRequired[int]


class RayTable(Cluster):
    """GPUs by address that Ray should have within `timeout` seconds."""

    address: str
    wanted: NotRequired[Mapping[str, float]]
    timeout: NotRequired[float]


class Look(Cluster):
    """What to ask the API, and Ray."""

    completion: Ask
    table: NotRequired[RayTable | None]


class Recall(Cluster):
    """What to ask the API of a service that is where the node has recorded it."""

    service: str
    completion: Ask  # without cluster and base
    seconds: float


class Claim(TypedDict):
    """The lease to take, and the facts to read."""

    take: Take
    probe: Probe


class Line(TypedDict):
    """A command line."""

    argv: Sequence[str]


class VenvLook(TypedDict):
    """A virtual environment, the interpreter that makes it, and packages that it should have."""

    venv: str
    program: str
    packages: Sequence[str]


class Install(Cluster):
    """What to build (node/install.py): the arguments of pip and of uv, the environment of both, a
    digest of what is built, and the unit in the mark of what builds.
    """

    venv: str
    program: str
    pip: Sequence[str]
    uv: Sequence[str]
    env: Mapping[str, str]
    spec: str
    run: str
    unit: str


class Installed(Cluster):
    """What a run has built."""

    venv: str
    run: str


class Imports(TypedDict):
    """Names of modules."""

    modules: Sequence[str]
