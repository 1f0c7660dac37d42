"""`down`: stop vLLM, the workers and the head, then remove the files: only what is sparkctl's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sparkctl.errors import RemoteError
from sparkctl.facts.answers import Cleared
from sparkctl.facts.calls import CLEAR, STOP
from sparkctl.operations.lease import hold
from sparkctl.operations.steps import STOP_GRACE, remaining
from sparkctl.plan.paths import temp_dir
from sparkctl.secret.text import command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.errors import SparkctlError
    from sparkctl.events import Reporter
    from sparkctl.facts.answers import Stopped
    from sparkctl.facts.calls import Call
    from sparkctl.inventory.models import Node
    from sparkctl.operations.session import Session


@dataclass
class DownReport:
    """What was stopped and removed on each node, and the errors by node."""

    cluster: str
    stopped: dict[str, list[str]] = field(default_factory=dict)
    removed: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, SparkctlError] = field(default_factory=dict)

    @property
    def nothing(self) -> bool:
        """Whether there was nothing to do and no node failed."""
        return not (self.stopped or self.removed or self.failed)


def down(session: Session, reporter: Reporter, *, break_lock: bool = False) -> DownReport:
    """Stop the cluster and check that it is gone; unreachable nodes are in `failed`.

    Each node itself finds what sparkctl started there, so neither a record nor facts are needed. A
    node with a process left, or that fails, keeps its files. Raises LockedError when another
    command holds the lease (unless `break_lock`), LeaseLostError when one takes it over.
    """
    inventory = session.inventory
    report = DownReport(inventory.cluster)
    report.failed.update(session.pool.errors)
    reached = [n for n in inventory.nodes if n.name in session.pool.connections]
    where = {"temp_dir": temp_dir(inventory.cluster), "grace": STOP_GRACE}
    with hold(session, reporter.note, "down", reached, force=break_lock, partial=True) as failed:
        report.failed.update(failed)
        for title, role, call, request in (
            ("stop vLLM", None, STOP, {"roles": ["vllm"], "grace": STOP_GRACE}),
            ("stop the Ray workers", "worker", CLEAR, where),
            ("stop the Ray head", "head", CLEAR, where),
        ):
            nodes = [n for n in reached if role in (None, n.role) and n.name not in report.failed]
            if nodes:
                reporter.step(title)
                if not _end(session, nodes, call, request, report):
                    reporter.end("failed")
    return report


def _end(
    session: Session,
    nodes: Sequence[Node],
    call: Call[Stopped],
    request: dict[str, Any],
    report: DownReport,
) -> bool:
    """Whether all processes on these nodes have ended; `report` has those that did not."""
    answers = session.ask_all(nodes, call, lambda _: request, title="stop the processes")
    if session.lease is not None:
        session.lease.check()
    report.failed.update(answers.failed)
    for name, answer in answers.ok.items():
        if ended := [f"{p.pid} {command_line(p.command, 100)}" for p in answer.stopped]:
            report.stopped.setdefault(name, []).extend(ended)
        if isinstance(answer, Cleared) and answer.removed:
            report.removed[name] = [*answer.removed]
        if left := remaining(answer):
            report.failed[name] = RemoteError(left, node=name, code="processes-left")
    return not any(node.name in report.failed for node in nodes)
