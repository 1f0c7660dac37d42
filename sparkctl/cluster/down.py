"""`down`: vLLM, workers, head, then our files; only what carries our mark."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sparkctl.cluster.lease import hold
from sparkctl.cluster.places import temp_dir
from sparkctl.cluster.steps import STOP_GRACE, remaining
from sparkctl.errors import RemoteError
from sparkctl.secret.text import command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cluster.session import Session
    from sparkctl.errors import SparkctlError
    from sparkctl.events import Reporter
    from sparkctl.inventory.models import Node


@dataclass
class DownReport:
    """What was ended and removed on each node, and why a node could not be done."""

    cluster: str
    stopped: dict[str, list[str]] = field(default_factory=dict)
    removed: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, SparkctlError] = field(default_factory=dict)

    @property
    def nothing(self) -> bool:
        """Whether there was nothing to do and no node failed."""
        return not (self.stopped or self.removed or self.failed)


def down(session: Session, reporter: Reporter, *, break_lock: bool = False) -> DownReport:
    """End what is ours and check that it is gone; nodes that cannot be reached are named.

    Each node itself finds what runs there with our mark, so a lost record, or facts that cannot be
    read, change nothing. A node where a process remains, or that fails, keeps its files. Raises
    LockedError when another command holds the lease (unless `break_lock`), LeaseLostError when one
    takes it over.
    """
    inventory = session.inventory
    report = DownReport(inventory.cluster)
    report.failed.update(session.pool.errors)
    reached = [n for n in inventory.nodes if n.name in session.pool.connections]
    where = {"temp_dir": temp_dir(inventory.cluster), "grace": STOP_GRACE}
    with hold(session, reporter.note, "down", reached, force=break_lock, partial=True) as failed:
        report.failed.update(failed)
        for title, role, target, request in (
            ("stop vLLM", None, "stop.stop", {"roles": ["vllm"], "grace": STOP_GRACE}),
            ("stop the Ray workers", "worker", "stop.clear", where),
            ("stop the Ray head", "head", "stop.clear", where),
        ):
            nodes = [n for n in reached if role in (None, n.role) and n.name not in report.failed]
            if nodes:
                reporter.step(title)
                if not _end(session, nodes, target, request, report):
                    reporter.end("failed")
    return report


def _end(
    session: Session,
    nodes: Sequence[Node],
    target: str,
    request: dict[str, Any],
    report: DownReport,
) -> bool:
    """Whether all that was to end on these nodes has ended; `report` has what did not."""
    answers = session.ask_all(
        nodes, target, lambda _: request, timeout=2 * STOP_GRACE + 30, title="ending our processes"
    )
    if session.lease is not None:
        session.lease.check()
    report.failed.update(answers.failed)
    for name, answer in answers.ok.items():
        if ended := [f"{p['pid']} {command_line(p['command'], 100)}" for p in answer["stopped"]]:
            report.stopped.setdefault(name, []).extend(ended)
        if removed := answer.get("removed"):
            report.removed[name] = removed
        if left := remaining(answer):
            report.failed[name] = RemoteError(left, node=name, code="processes-left")
    return not any(node.name in report.failed for node in nodes)
