"""`down`: vLLM, workers, head, then our files; only what carries our mark."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sparkctl.cluster.places import temp_dir
from sparkctl.cluster.session import Session
from sparkctl.cluster.steps import STOP_GRACE
from sparkctl.errors import SparkctlError
from sparkctl.inventory.models import Node
from sparkctl.report.reporter import Reporter


@dataclass
class DownReport:
    """What was ended and removed on each node, and why a node could not be done."""

    cluster: str
    stopped: dict[str, list[str]] = field(default_factory=dict)
    removed: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def nothing(self) -> bool:
        """Whether there was nothing to do and no node failed."""
        return not (self.stopped or self.removed or self.failed)


def down(session: Session, reporter: Reporter, *, break_lock: bool = False) -> DownReport:
    """End what is ours and check that it is gone; nodes that cannot be reached are named.

    The truth is what really runs with our mark, so a lost journal changes nothing.
    Raises SparkctlError when another run holds the cluster's lock (unless `break_lock`).
    """
    inventory = session.inventory
    report = DownReport(inventory.cluster)
    report.failed.update({name: str(error) for name, error in session.pool.errors.items()})
    reachable = [n for n in inventory.nodes if n.name in session.pool.connections]
    reporter.step("read the nodes' facts")
    report.failed.update({n: str(e) for n, e in session.probe(reachable).failed.items()})
    if not break_lock:
        _refuse_if_locked(session, reachable)
    for title, nodes, roles in (
        ("stop vLLM", reachable, ["vllm"]),
        ("stop the Ray workers", [n for n in reachable if n.role == "worker"], []),
        ("stop the Ray head", [n for n in reachable if n.role == "head"], []),
    ):
        busy = [n for n in nodes if _runs(session, n, roles)]
        if busy:
            reporter.step(title)
            _stop(session, busy, roles, report)
    written = [
        n
        for n in reachable
        if n.name not in report.failed
        and (session.facts[n.name]["state"]["exists"] or session.facts[n.name]["state"]["temp_dir"])
    ]
    if written:
        reporter.step("remove our files")
        answers = session.ask_all(
            written,
            "ending.remove",
            lambda _: {"temp_dir": temp_dir(inventory.cluster)},
            title="removing our files",
        )
        report.removed.update({n: a["removed"] for n, a in answers.ok.items() if a["removed"]})
        report.failed.update({n: str(e) for n, e in answers.failed.items()})
    return report


def _runs(session: Session, node: Node, roles: list[str]) -> bool:
    facts: dict[str, Any] = session.facts.get(node.name, {})
    return any(not roles or p["role"] in roles for p in facts.get("ours", []))


def _refuse_if_locked(session: Session, reachable: list[Node]) -> None:
    head = session.inventory.head
    if head not in reachable or not session.facts.get(head.name, {}).get("state", {})["locked"]:
        return
    raise SparkctlError(
        f"another run of sparkctl holds the lock of {session.inventory.cluster}",
        node=head.name,
        hint="wait for it; if it is dead, `sparkctl down --break-lock`",
    )


def _stop(session: Session, nodes: list[Node], roles: list[str], report: DownReport) -> None:
    answers = session.ask_all(
        nodes,
        "ending.stop",
        lambda _: {"roles": roles, "grace": STOP_GRACE},
        timeout=STOP_GRACE + 30,
        title="ending our processes",
    )
    report.failed.update({n: str(e) for n, e in answers.failed.items()})
    for name, answer in answers.ok.items():
        ended = [f"{p['pid']} {p['command'][:100]}" for p in answer["stopped"]]
        report.stopped.setdefault(name, []).extend(ended)
        if answer["remaining"]:
            left = ", ".join(f"{p['pid']} ({p['command'][:60]})" for p in answer["remaining"])
            report.failed[name] = f"did not end, even on KILL: {left}"
