"""Watching a start that another `up` makes, until that has ended or is gone."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from sparkctl.engines.table import ENGINES
from sparkctl.errors import LockedError, SparkctlError
from sparkctl.facts.calls import FOLLOW, FREE_LEASE, READ_FILES
from sparkctl.facts.decode import decode
from sparkctl.node.follow import INTERVAL
from sparkctl.node.units import STARTING, LogStages
from sparkctl.plan import record
from sparkctl.plan.paths import APPLIED
from sparkctl.remote import node_rpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sparkctl.events import Reporter
    from sparkctl.inventory.models import Node
    from sparkctl.node.units import Unit
    from sparkctl.operations.session import Session

WHY = "up"  # what the lease of an `up` says
PATIENCE = 3600.0  # seconds of one call that waits for the lease
LOOK = 2.0  # seconds between looks for a log while none is recorded


@contextmanager
def after_others(
    session: Session, reporter: Reporter, holding: Callable[[], AbstractContextManager[object]]
) -> Iterator[None]:
    """Hold the lease by `holding`, once no other `up` holds it, whose start is watched meanwhile.

    Raises LockedError when another command than `up` holds it, or it does not expire: nobody is
    known to be there then.
    """
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(holding())
                break
            except LockedError as error:
                gone = error.data.get("expires_in") is None  # an older sparkctl's lock
                if error.data.get("why") != WHY or gone or error.node is None:
                    raise
                who = f"{error.data['who']} since {error.data['when']}"
                _watch(session, reporter, session.node(error.node), who)
        yield


def _watch(session: Session, reporter: Reporter, at: Node, who: str) -> None:
    """Report the stages of another's start until it has released its lease, or lost it."""
    reporter.step(f"watch the start by {who}")
    over = threading.Event()
    failed: list[SparkctlError] = []

    def wait() -> None:
        request = {"timeout": PATIENCE}
        try:
            while session.ask(at, FREE_LEASE, request, timeout=PATIENCE + 15).holder is not None:
                pass
        except SparkctlError as error:
            failed.append(error)
        finally:
            over.set()

    threading.Thread(target=wait, name="another's lease", daemon=True).start()
    while not over.wait(LOOK):
        for unit, path in _logs(session):
            _follow(session, reporter, unit, path, over)
    if failed:
        raise failed[0]


def _logs(session: Session) -> Iterator[tuple[Unit, str]]:
    """The units whose start the nodes have recorded and whose log shows stages."""
    nodes = [n for n in session.inventory.nodes if n.name in session.pool.connections]
    answers = session.ask_all(nodes, READ_FILES, lambda _: {"names": [APPLIED]})
    for name, files in answers.ok.items():
        for started in record.parsed(files.get(APPLIED), "vllm", name).units.values():
            unit = started.unit
            if unit and started.phase == STARTING and started.log and _stages(unit):
                yield unit, started.log


def _stages(unit: Unit) -> bool:
    return any(isinstance(ready, LogStages) for ready in unit.ready)


def _follow(
    session: Session, reporter: Reporter, unit: Unit, path: str, over: threading.Event
) -> None:
    """Report the stages in a unit's log until `over`."""
    stages = next(ready for ready in unit.ready if isinstance(ready, LogStages))
    engine = ENGINES.get(stages.engine)
    if engine is None:
        return
    progress = engine.progress()
    title = f"{unit.title} log"
    request = {"cluster": session.inventory.cluster, "path": path, "offset": 0}
    command = node_rpc.call(FOLLOW.target, request, title=title)
    connection = session.pool.connections[unit.node]
    with connection.stream(command, timeout=5 * INTERVAL) as lines:
        for line in lines:
            if over.is_set():
                return
            event = decode(FOLLOW, line.encode(), unit.node, title) if line else None
            if event and progress.feed(event.text or ""):
                reporter.stage(progress.title, progress.percent)
