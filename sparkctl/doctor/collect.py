"""Gathering what the checks look at: one round trip a node for all facts, then what they need.

Whatever cannot be had becomes a reason in the view, never an exception: the checks that need it
say UNKNOWN with that reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkctl.cluster import health as engine
from sparkctl.cluster.rayview import ask_ray
from sparkctl.doctor.check import Source
from sparkctl.doctor.checks.firewall import open_ports
from sparkctl.doctor.checks.ranks import died
from sparkctl.doctor.checks.runtime import MODULES
from sparkctl.doctor.looks import Api, EngineLog, Generation, Looks
from sparkctl.doctor.snapshot import View
from sparkctl.fabric.cabling import beside
from sparkctl.facts.answers import Import
from sparkctl.facts.calls import COUNTERS, IMPORTS, PEERS
from sparkctl.facts.unread import Missing, Unread, known
from sparkctl.inventory.layers import load_layers
from sparkctl.remote.fanout import each
from sparkctl.serving.tls import api_base

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from sparkctl.cluster.session import Session
    from sparkctl.facts.answers import Failed, Peers, RayTable
    from sparkctl.facts.groups import Counters
    from sparkctl.inventory.models import Node

HEADERS = 28  # bytes of IPv4 and ICMP headers in a ping, ping(8)


def gather(
    session: Session, nodes: Sequence[Node], sources: Collection[Source], *, passive: bool = False
) -> View:
    """Probe the nodes that have no facts yet, then take the looks that `sources` names, at once.

    Facts are read of every node: those asked about have the others as their peers. `passive` leaves
    out all that sends traffic or loads anything.
    """
    pool = session.pool
    session.probe([n for n in session.inventory.nodes if n.name in pool.connections])
    view = View(
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
        chosen = [s for s in LOOKS if s in sources]
        looks = each(chosen, lambda s: _look(session, view, s), key=lambda s: s.value)
        view.looks = Looks(**looks.ok)
    return view


def _look(session: Session, view: View, source: Source) -> dict[str, Any]:
    """What one source gives for each node, Unread where it gives nothing."""
    call, where = LOOKS[source]
    nodes = {"named": view.known, "all": view.reached, "head": [view.inventory.head.name]}[where]
    asked = [n for n in view.inventory.nodes if n.name in nodes and n.name in view.all_facts]

    def ask(node: Node) -> object:
        try:
            return call(session, view, node)
        except Missing as error:
            return Unread(source.value, str(error), error.kind)

    found = each(asked, ask, key=lambda n: n.name)
    failed = {name: Unread(source.value, str(e)) for name, e in found.failed.items()}
    return {**found.ok, **failed}


def _peers(session: Session, view: View, node: Node) -> Peers:
    asked = set(view.names)
    others = [n for n in view.reached if n != node.name and asked & {n, node.name}]
    others = [n for n in others if _has_halves(view, n)]
    request = {
        "pings": [ping for other in others for ping in _pings(view, node.name, other)],
        "connects": [
            {"to": other, "what": what, "address": view.choice(other).address, "port": port}
            for other in others
            if view.choice_error(other) is None
            for port, what in open_ports(view, other).items()
        ],
    }
    return session.ask(node, PEERS, request, title="trying the peers")


def _has_halves(view: View, name: str) -> bool:
    """Whether a node's halves were read: one that lacks them must not hide the other peers."""
    try:
        return bool(view.halves(name))
    except Missing:
        return False


def _pings(view: View, source: str, target: str) -> list[dict[str, Any]]:
    """From each usable half to the other node's in the same subnet, at the full MTU."""
    return [
        {
            "to": target,
            "interface": mine.interface,
            "address": str(address),
            "size": (mine.mtu or 1500) - HEADERS,
        }
        for mine in view.halves(source)
        for theirs in view.halves(target)
        if mine.usable and theirs.usable
        for address in beside(mine, theirs)
    ]


def _imports(session: Session, view: View, node: Node) -> Mapping[str, Import]:
    runtime = known(view.facts(node.name).runtime)
    if not runtime.exists:
        raise Missing(f"there is no runtime at {runtime.venv}", kind="absent")
    if view.serves(node.name):
        # Better proof than an import.
        return {m: Import(version="runs", error=None) for m in MODULES}
    return session.ask(
        node,
        IMPORTS,
        {"modules": [*MODULES]},
        title="importing torch, ray and vllm",
        python=f"{runtime.venv}/bin/python",
    )


def _ray(session: Session, view: View, node: Node) -> Failed | RayTable:
    if not view.running(node.name, "ray"):
        raise Missing("no Ray of ours runs")
    runtime = known(view.facts(node.name).runtime)
    address = f"{view.choice(node.name).address}:{session.inventory.ray.port}"
    return ask_ray(session, address, f"{runtime.venv}/bin/python")


def _log(session: Session, view: View, node: Node) -> EngineLog:
    if not view.running(node.name, "vllm") and not died(view):
        raise Missing("no vLLM of ours runs")
    from sparkctl.doctor import logview  # and all of the log reader, where vLLM was started alone

    return logview.read(session, node)


def _generation(session: Session, view: View, node: Node) -> Generation:
    """A real completion, with every node's counters before and after."""
    if not view.running(node.name, "vllm"):
        raise Missing("no vLLM of ours runs")
    nodes = [view.node(name) for name in view.reached]
    before = _counters(session, nodes)
    answer, health = engine.report(session)
    return Generation(answer, health, before, _counters(session, nodes))


def _counters(session: Session, nodes: list[Node]) -> dict[str, Counters]:
    return session.ask_all(nodes, COUNTERS, lambda _: {}).ok


def _api(session: Session, view: View, node: Node) -> Api:
    if not view.running(node.name, "vllm"):
        raise Missing("no vLLM of ours runs")
    from sparkctl.doctor import health  # and urllib, http, ssl, likewise

    return health.health(api_base(session.inventory.vllm, node.host))


# Each further look, and where it is taken: on the nodes asked about, on all, on the head.
LOOKS: dict[Source, tuple[Callable[[Session, View, Node], object], str]] = {
    Source.PEERS: (_peers, "all"),
    Source.IMPORTS: (_imports, "named"),
    Source.RAY: (_ray, "head"),
    Source.LOG: (_log, "head"),
    Source.API: (_api, "head"),
    Source.GENERATION: (_generation, "head"),
}
