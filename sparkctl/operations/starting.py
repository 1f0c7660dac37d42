"""A start that is under way, or ended while nobody watched: how far its log shows it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sparkctl.engines.engine import ended
from sparkctl.engines.table import ENGINES
from sparkctl.errors import RemoteTimeout, SparkctlError
from sparkctl.facts.calls import FOLLOW, UNTIL
from sparkctl.facts.decode import decode
from sparkctl.node.units import STARTING, Absent, LogStages, Running
from sparkctl.remote import node_rpc
from sparkctl.remote.fanout import each

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.engines.engine import Engine, Progress
    from sparkctl.engines.explanation import Explanation
    from sparkctl.facts.answers import Followed
    from sparkctl.node.units import Observed, Unit
    from sparkctl.operations.session import Session
    from sparkctl.plan.desired import Desired
    from sparkctl.plan.observed import Seen
    from sparkctl.plan.record import Record
    from sparkctl.remote.connection import Connection

PATIENCE = 20.0  # seconds for reading a log


def clock(seconds: float, now: float) -> str:
    """Seconds since the epoch as a time of this day, else with its date."""
    day, today = (time.strftime("%Y-%m-%d", time.localtime(at)) for at in (seconds, now))
    return time.strftime("%H:%M" if day == today else "%Y-%m-%d %H:%M", time.localtime(seconds))


@dataclass(frozen=True)
class Startup:
    """How far a start has come: at a stage of the engine, with percent of it where the log has
    that; `ready` where nobody has noted it yet. `usual`: how long the stage takes as a rule.

    `why` and `known`, the known failure that it is, are of a failed start. `unread`: why the stage
    is unknown.
    """

    state: Literal["starting", "ready", "failed"] = "starting"
    stage: str = ""
    title: str = ""
    percent: int | None = None
    why: str = ""
    known: Explanation | None = None
    unread: str = ""
    usual: str = ""

    @property
    def cause(self) -> str | None:
        """The code of the known failure."""
        return self.known.code if self.known else None

    def __str__(self) -> str:
        """The stage for people, such as `loading the model 42 %`, and what is usual."""
        shown = self.title if self.percent is None else f"{self.title} {self.percent} %"
        return f"{shown} ({self.usual})" if self.usual else shown


def stages_of(unit: Unit | None) -> LogStages | None:
    """What its log shows when it starts, if it has stages."""
    found = (ready for ready in unit.ready if isinstance(ready, LogStages)) if unit else ()
    return next(iter(found), None)


def startup(connection: Connection, cluster: str, record: Record, *, lives: bool) -> Startup:
    """How far a unit has come that was recorded as starting, by its log on this connection's node.

    `lives`: whether it has processes. A log that cannot be read is `unread`, no failure.
    """
    stages = stages_of(record.unit)
    engine = ENGINES.get(stages.engine) if stages else None
    if record.unit is None or engine is None:
        return Startup()
    progress = engine.progress()
    try:
        for event in _events(connection, cluster, record):
            lives = lives and event.exited is None
            progress.feed(event.text or "")
    except SparkctlError as error:
        if lives:
            return Startup(unread=f"its log could not be read: {error.message}")
        return Startup("failed", why=f"{record.unit.title} exited during startup")
    progress.feed("\n")
    return _judged(engine, progress, record.unit.title, lives=lives)


def dead(
    session: Session,
    desired: Sequence[Desired],
    seen: Seen,
    observed: Mapping[str, Observed],
) -> dict[str, str]:
    """Why units that are recorded as starting have failed, where that could be read; by unit.

    So a start that nobody watched is replaced rather than waited for.
    """
    engines = {name: service.engine for service in desired for name in service.units}
    left = {u: seen.records[u] for u in engines if u in seen.records}
    left = {u: r for u, r in left.items() if r.unit and r.pid and r.phase == STARTING}

    def died(name: str) -> str:
        record, lives = left[name], isinstance(observed[name], Running)
        return (
            _died(session, engines[name], record, record.unit, lives=lives) if record.unit else ""
        )

    known = [u for u in left if isinstance(observed.get(u), (Running, Absent))]
    answers = each(known, died, key=str)
    return {name: why for name, why in answers.ok.items() if why}


def _died(session: Session, engine: Engine, record: Record, unit: Unit, *, lives: bool) -> str:
    """Why a start failed; empty while it has not."""
    if unit.program.ends:
        request = {"unit": unit.id, "run": record.run, "listens": None, "ends": True, "timeout": 0}
        answer = session.ask(session.node(unit.node), UNTIL, request)
        if answer.ended and answer.status:
            return ended(engine, unit, answer.status, answer.tail).text
        return ""
    if stages_of(unit):
        connection = session.connection(session.node(unit.node))
        return startup(connection, session.inventory.cluster, record, lives=lives).why
    return "" if lives else f"{unit.title} exited during startup"


def _judged(engine: Engine, progress: Progress, title: str, *, lives: bool) -> Startup:
    if lives and (progress.ready or not progress.failed):
        state: Literal["starting", "ready"] = "ready" if progress.ready else "starting"
        return Startup(
            state, progress.stage_id, progress.title, progress.percent, usual=progress.usual
        )
    what = f"{title} failed to start" if lives else f"{title} exited during startup"
    if lives is False and progress.ready:
        what = f"{title} exited"
    return Startup(
        "failed",
        progress.stage_id,
        progress.title,
        why=f"{what}: {progress.described}" if progress.described else what,
        known=engine.explain(progress, waited=False),
    )


def _events(connection: Connection, cluster: str, record: Record) -> Iterator[Followed]:
    """The whole log, and the end of its program. Raises RemoteError, also after PATIENCE."""
    unit = record.unit
    where = {"path": record.log} if record.log else {"unit": unit.id if unit else ""}
    process = {"pid": record.pid, "started": record.started} if record.pid else {}
    request = {"cluster": cluster, **where, **process, "all": True, "follow": False}
    command = node_rpc.call(FOLLOW.target, request, timeout=PATIENCE, title="read the log")
    deadline = time.monotonic() + PATIENCE
    with connection.stream(command) as lines:
        for line in lines:
            if time.monotonic() > deadline:
                raise RemoteTimeout(f"no end after {PATIENCE:g} s", node=connection.node)
            if line:
                yield decode(FOLLOW, line.encode(), connection.node, command.title)
