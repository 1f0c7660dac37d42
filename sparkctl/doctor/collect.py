"""Collects what the checks read: all facts of a node in one round trip, then the further looks.

What cannot be had becomes Unread in the snapshot, never an exception: the checks that need it are
UNKNOWN with its reason.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from sparkctl.doctor import applies, boxes
from sparkctl.doctor.check import Source
from sparkctl.doctor.checks.firewall import open_ports
from sparkctl.doctor.checks.ping import HEADERS
from sparkctl.doctor.checks.ranks import died
from sparkctl.doctor.checks.running import RAY
from sparkctl.doctor.looks import Api, EngineLog, Generation, Looks
from sparkctl.doctor.snapshot import Snapshot
from sparkctl.doctor.starting import recorded_start, under_way
from sparkctl.errors import RemoteTimeout, SparkctlError
from sparkctl.fabric.cabling import parsed, reachable
from sparkctl.facts.answers import Import
from sparkctl.facts.calls import COUNTERS, IMPORTS, PEERS
from sparkctl.facts.unread import Missing, Unread, known
from sparkctl.inventory.layers import load_layers
from sparkctl.node.peerwire import Connect, Ping
from sparkctl.operations import health as engine
from sparkctl.operations import transient
from sparkctl.operations.raytable import ask_ray
from sparkctl.operations.starting import startup
from sparkctl.plan import recorded
from sparkctl.remote.fanout import each

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from sparkctl.facts.answers import Failed, RayTable
    from sparkctl.facts.containers import BoxLook
    from sparkctl.facts.groups import Counters
    from sparkctl.facts.peeranswers import Peers
    from sparkctl.inventory.models import Node
    from sparkctl.node.units import Generates
    from sparkctl.operations.session import Session
    from sparkctl.operations.starting import Startup
    from sparkctl.plan.recorded import Asked

T = TypeVar("T")
RUNNING = {Source.RAY, Source.LOG, Source.GENERATION, Source.API}  # depend on a start's end
USUAL_MTU = 1500  # for an interface whose MTU could not be read


def collect(
    session: Session, nodes: Sequence[Node], sources: Collection[Source], *, passive: bool = False
) -> Snapshot:
    """The facts of all nodes, and at once the looks that `sources` names.

    Nodes that were not asked about are read too, as peers of those that were. `passive` leaves out
    the looks, which send traffic or load something.
    """
    pool = session.pool
    session.probe([n for n in session.inventory.nodes if n.name in pool.connections])
    snapshot = Snapshot(
        inventory=session.inventory,
        nodes=tuple(nodes),
        layers=load_layers(session.inventory, session.base),
        login=pool.seconds,
        errors=pool.errors,
        unreadable=session.unread,
        all_facts=session.facts,
        asked=session.asked,
        passive=passive,
    )
    if not passive:
        if RUNNING & {*sources}:
            snapshot.looks = Looks(start=_starts(session, snapshot))
        snapshot.looks = _looks(session, snapshot, sources)
    return snapshot


def _looks(session: Session, snapshot: Snapshot, sources: Collection[Source]) -> Looks:
    """Of each service: peers are tried from all its nodes, imports on those asked about, the rest
    is its head's.
    """
    peers: dict[str, Peers | Unread] = {}
    imports: dict[str, Mapping[str, Import] | Unread] = {}
    inside: dict[str, BoxLook | Unread] = {}
    ray: dict[str, Failed | RayTable | Unread] = {}
    log: dict[str, EngineLog | Unread] = {}
    generation: dict[str, Generation | Unread] = {}
    api: dict[str, Api | Unread] = {}
    parts = {n.name: part for part in snapshot.parts for n in part.inventory.nodes}
    reached = [n for n in parts if n in snapshot.all_facts]
    asked = [n for n in snapshot.known if n in parts]
    boxed = [n for n in asked if not applies.container(parts[n])]
    heads = list(dict.fromkeys(part.inventory.head.name for part in parts.values()))

    def take(
        source: Source,
        look: Callable[[Session, Snapshot, Node], T],
        names: Collection[str],
        into: dict[str, T | Unread],
    ) -> None:
        nodes = [n for n in snapshot.inventory.nodes if n.name in names and n.name in reached]
        taken = each(
            nodes,
            lambda n: look(session.within(parts[n.name].inventory), parts[n.name], n),
            key=lambda n: n.name,
        )
        into.update(taken.ok)
        into.update({name: _unread(source, error) for name, error in taken.failed.items()})

    takes = {
        Source.PEERS: lambda: take(Source.PEERS, _peers, reached, peers),
        Source.INSIDE: lambda: take(Source.INSIDE, boxes.look, boxed, inside),
        Source.IMPORTS: lambda: take(Source.IMPORTS, _imports, asked, imports),
        Source.RAY: lambda: take(Source.RAY, _ray, heads, ray),
        Source.LOG: lambda: take(Source.LOG, _log, heads, log),
        Source.API: lambda: take(Source.API, _api, heads, api),
        Source.GENERATION: lambda: take(Source.GENERATION, _generation, heads, generation),
    }
    each([s for s in takes if s in sources], lambda s: takes[s](), key=lambda s: s.value)
    return Looks(peers, imports, inside, ray, log, generation, api, snapshot.looks.start)


def _starts(session: Session, snapshot: Snapshot) -> dict[str, Startup | Unread]:
    """How far the starts are that a head's record has as not ended."""
    heads = {part.inventory.head.name: part for part in snapshot.parts}
    nodes = [snapshot.node(name) for name in heads if name in snapshot.all_facts]
    taken = each(nodes, lambda n: _start(session, heads[n.name], n), key=lambda n: n.name)
    unread = {name: Unread("start", str(error)) for name, error in taken.failed.items()}
    return {name: s for name, s in taken.ok.items() if s} | unread


def _start(session: Session, snapshot: Snapshot, node: Node) -> Startup | None:
    found = recorded_start(snapshot, node.name)
    if found is None or node.name not in session.pool.connections:
        return None
    unit, record = found
    lives = any(of == unit.id for of, _ in snapshot.observed.processes.get(node.name, ()))
    connection = session.pool.connections[node.name]
    return startup(connection, session.inventory.cluster, record, lives=lives)


def _unread(source: Source, error: SparkctlError) -> Unread:
    if isinstance(error, Missing):
        return Unread(source.value, error.message, error.kind)
    return Unread(
        source.value, str(error), "timeout" if isinstance(error, RemoteTimeout) else "failed"
    )


def _peers(session: Session, snapshot: Snapshot, node: Node) -> Peers:
    asked = set(snapshot.names)
    others = [n for n in snapshot.reached if n != node.name and asked & {n, node.name}]
    others = [n for n in others if _has_halves(snapshot, n)]
    request = {
        "pings": [ping for other in others for ping in _pings(snapshot, node.name, other)],
        "connects": [c for other in others for c in _connects(snapshot, node.name, other)],
    }
    return session.ask(node, PEERS, request, title="trying the peers")


def _has_halves(snapshot: Snapshot, name: str) -> bool:
    """Whether a node's halves are known: a node without them must not hide the other peers."""
    try:
        return bool(snapshot.halves(name))
    except Missing:
        return False


def _pings(snapshot: Snapshot, source: str, target: str) -> list[Ping]:
    """From each usable half to the other node's in the same subnet, at the full MTU."""
    return [
        Ping(
            to=target,
            interface=mine.interface,
            address=str(address),
            size=(mine.mtu or USUAL_MTU) - HEADERS,
        )
        for mine in snapshot.halves(source)
        for theirs in snapshot.halves(target)
        if mine.usable and theirs.usable
        for address in reachable(mine, theirs)
    ]


def _connects(snapshot: Snapshot, source: str, target: str) -> list[Connect]:
    """To the address that the cluster would use, and to those of the halves that face the node: a
    port that is blocked is found though the first half is down.
    """
    addresses = dict.fromkeys(ping["address"] for ping in _pings(snapshot, source, target))
    if snapshot.choice_error(target) is None:
        used = snapshot.choice(target).address
        if used in addresses or not _is_down(snapshot, source, target, used):
            addresses = {used: None, **addresses}
    ports = open_ports(snapshot, target).items()
    return [
        Connect(to=target, what=what, address=address, port=port)
        for address in addresses
        for port, what in ports
    ]


def _is_down(snapshot: Snapshot, source: str, target: str, address: str) -> bool:
    """Whether an address is of a half that is not usable, or that only such a half here faces."""
    theirs = [
        h for h in snapshot.halves(target) if any(str(parsed(a).ip) == address for a in h.ipv4)
    ]
    mine = [m for m in snapshot.halves(source) for h in theirs if reachable(m, h)]
    return any(not h.usable for h in theirs) or (bool(mine) and not any(m.usable for m in mine))


def _imports(session: Session, snapshot: Snapshot, node: Node) -> Mapping[str, Import]:
    modules = snapshot.engine.judged.modules
    if not modules:
        return {}
    runtime = known(snapshot.facts(node.name).runtime)
    if not runtime.exists:
        what = runtime.image or f"virtual environment at {runtime.venv}"
        raise Missing(f"no {what}", what="imports", kind="absent")
    if snapshot.serves(node.name):  # which proves more than an import
        return {m: Import(version="is running", error=None) for m in modules}
    title = f"importing {', '.join(modules[:-1])} and {modules[-1]}"
    ask = partial(session.ask, node, IMPORTS, {"modules": [*modules]}, title=title)
    if not runtime.image:
        return ask(python=f"{runtime.venv}/bin/python")
    with transient.named(session, node, boxes.tool(snapshot)) as name:
        return ask(inside=boxes.words(snapshot, node.name, name))


def _ray(session: Session, snapshot: Snapshot, node: Node) -> Failed | RayTable:
    if not snapshot.running(node.name, RAY):
        raise Missing("Ray is not running", what="ray", kind="absent")
    view, units = session.inventory.views[0], snapshot.observed.recorded
    at = recorded.ray(view, units, snapshot.all_facts)
    return ask_ray(session, at.ready, node=session.node(at.node))


def _require_engine(snapshot: Snapshot, node: Node, *, or_died: bool = False) -> None:
    """Raises Missing if the engine is not running on the node."""
    engine = snapshot.engine
    if not snapshot.running(node.name, engine.kind) and not (or_died and died(snapshot)):
        raise Missing(f"{engine.title} is not running", what=engine.kind, kind="absent")


def _log(session: Session, snapshot: Snapshot, node: Node) -> EngineLog:
    _require_engine(snapshot, node, or_died=True)
    from sparkctl.doctor import logview  # imports the log reader, which few runs need

    kind = snapshot.engine.kind
    others = [u.node for u in snapshot.units if u.kind == kind and u.node in snapshot.reached]
    nodes = [node, *(snapshot.node(n) for n in dict.fromkeys(others) if n != node.name)]
    return logview.read(session, nodes, kind, snapshot.engine.title)


def _generation(session: Session, snapshot: Snapshot, node: Node) -> Generation:
    """A real completion, with every node's counters before and after."""
    at = _served(session, snapshot, node)
    nodes = [snapshot.node(name) for name in snapshot.reached]
    before = _counters(session, nodes)
    answer, health = engine.report(session, base=at.ready.base, node=session.node(at.node))
    return Generation(answer, health, before, _counters(session, nodes))


def _counters(session: Session, nodes: list[Node]) -> dict[str, Counters]:
    return session.ask_all(nodes, COUNTERS, lambda _: {}).ok


def _api(session: Session, snapshot: Snapshot, node: Node) -> Api:
    at = _served(session, snapshot, node)
    from sparkctl.doctor import health  # imports urllib, http and ssl, which few runs need

    return health.health(recorded.outside(at.ready.base, session.node(at.node).host))


def _served(session: Session, snapshot: Snapshot, node: Node) -> Asked[Generates]:
    """Where the API is asked. Raises Missing if there is none, or it is not ready yet."""
    if lacks := applies.api(snapshot):
        raise Missing(lacks, what="api", kind="absent")
    _require_engine(snapshot, node)
    if under_way(snapshot):
        raise Missing(
            f"{snapshot.engine.title} is starting", what=snapshot.engine.kind, kind="absent"
        )
    return recorded.api(session.inventory.views[0], snapshot.observed.recorded)
