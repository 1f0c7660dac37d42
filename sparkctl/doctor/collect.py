"""Gathering what the checks look at: one round trip a node for all facts, then what they need.

Whatever cannot be had becomes a reason in the view, never an exception: the checks that need it
say UNKNOWN with that reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkctl.cluster import health as engine
from sparkctl.cluster.known import Missing
from sparkctl.cluster.rayview import ask_ray
from sparkctl.doctor.check import Source
from sparkctl.doctor.checks.pairs import open_ports
from sparkctl.doctor.checks.ranks import died
from sparkctl.doctor.checks.runtime import MODULES
from sparkctl.doctor.snapshot import View
from sparkctl.fabric.cabling import beside
from sparkctl.inventory.layers import load_layers
from sparkctl.remote.fanout import each
from sparkctl.serving.tls import api_base

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sparkctl.cluster.session import Session
    from sparkctl.inventory.models import Node

IMPORT_SECONDS = 120.0  # a cold import of vLLM takes a minute on a slow disk
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
        wanted = [s for s in LOOKS if s in sources]
        looks = each(wanted, lambda s: _look(session, view, s), key=lambda s: s.value)
        view.sources = {s: found for s, (found, _) in looks.ok.items()}
        view.unread = {s: reasons for s, (_, reasons) in looks.ok.items()}
    return view


Look = tuple[dict[str, Any], dict[str, str]]


def _look(session: Session, view: View, source: Source) -> Look:
    """What one source gives for each node, and for the others the reason why it does not."""
    call, where = LOOKS[source]
    nodes = {"named": view.known, "all": view.reached, "head": [view.inventory.head.name]}[where]
    asked = [n for n in view.inventory.nodes if n.name in nodes and n.name in view.all_facts]

    def ask(node: Node) -> dict[str, Any] | str:
        try:
            return call(session, view, node)
        except Missing as error:
            return str(error)

    found = each(asked, ask, key=lambda n: n.name)
    reasons = {name: str(error) for name, error in found.failed.items()}
    reasons |= {name: answer for name, answer in found.ok.items() if isinstance(answer, str)}
    return {n: a for n, a in found.ok.items() if not isinstance(a, str)}, reasons


def _peers(session: Session, view: View, node: Node) -> dict[str, Any]:
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
    return session.ask(
        node, "peers.peers", request, timeout=30, mutates=False, title="trying the peers"
    )


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


def _imports(session: Session, view: View, node: Node) -> dict[str, Any]:
    runtime = view.group(node.name, "runtime")
    if not runtime["exists"]:
        raise Missing(f"there is no runtime at {runtime['venv']}")
    if view.serves(node.name):
        # Better proof than an import.
        return {m: {"version": "runs", "error": None} for m in MODULES}
    return session.ask(
        node,
        "imports.imports",
        {"modules": [*MODULES]},
        timeout=IMPORT_SECONDS,
        mutates=False,
        title="importing torch, ray and vllm",
        python=f"{runtime['venv']}/bin/python",
    )


def _ray(session: Session, view: View, node: Node) -> dict[str, Any]:
    if not view.running(node.name, "ray"):
        raise Missing("no Ray of ours runs")
    runtime = view.group(node.name, "runtime")
    address = f"{view.choice(node.name).address}:{session.inventory.ray.port}"
    return ask_ray(session, address, f"{runtime['venv']}/bin/python")


def _log(session: Session, view: View, node: Node) -> dict[str, Any]:
    if not view.running(node.name, "vllm") and not died(view):
        raise Missing("no vLLM of ours runs")
    from sparkctl.doctor import logview  # and all of the log reader, where vLLM was started alone

    return logview.read(session, node)


def _generation(session: Session, view: View, node: Node) -> dict[str, Any]:
    """A real completion, with every node's counters before and after."""
    if not view.running(node.name, "vllm"):
        raise Missing("no vLLM of ours runs")
    nodes = [view.node(name) for name in view.reached]
    before = _counters(session, nodes)
    answer = engine.report(session)
    return {**answer, "before": before, "after": _counters(session, nodes)}


def _counters(session: Session, nodes: list[Node]) -> dict[str, Any]:
    return session.ask_all(nodes, "verbs.counters", lambda _: {}, mutates=False).ok


def _api(session: Session, view: View, node: Node) -> dict[str, Any]:
    if not view.running(node.name, "vllm"):
        raise Missing("no vLLM of ours runs")
    from sparkctl.doctor import health  # and urllib, http, ssl, likewise

    return health.health(api_base(session.inventory.vllm, node.host))


# Each further look, and where it is taken: on the nodes asked about, on all, on the head.
LOOKS: dict[Source, tuple[Callable[[Session, View, Node], dict[str, Any]], str]] = {
    Source.PEERS: (_peers, "all"),
    Source.IMPORTS: (_imports, "named"),
    Source.RAY: (_ray, "head"),
    Source.LOG: (_log, "head"),
    Source.API: (_api, "head"),
    Source.GENERATION: (_generation, "head"),
}
