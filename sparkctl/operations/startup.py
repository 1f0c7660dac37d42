"""Watching a unit start: by progress in its log, never by a fixed time."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.errors import RemoteError, ServingError
from sparkctl.events import Doing
from sparkctl.facts.unread import known
from sparkctl.node.units import Generates, LogStages
from sparkctl.operations import health
from sparkctl.operations.follow import follow
from sparkctl.operations.logs.kept import keep

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from sparkctl.engines.engine import Progress
    from sparkctl.facts.answers import Followed
    from sparkctl.node.units import Unit
    from sparkctl.operations.run import Run

LAST_WORDS = 10.0  # seconds for what a dying program still logs
GAP = 5.0  # seconds without a sign: nobody looked at the log, as while a connection was made again


class Watched(NamedTuple):
    """The program that is watched: its process and where its log begins."""

    pid: int
    started: int
    log: str
    offset: int = 0


def watch(run: Run, unit: Unit, *, placed: Callable[[], bool] | None = None) -> None:
    """Follow a unit's log until it is ready, then ask for a completion of a few tokens.

    `placed` is called once the ranks have their nodes, and again when the unit is ready unless it
    gave True: it raises when one is on another node than planned. Raises ServingError with the
    cause and the log's tail on a fatal line, a dead process, no completion, or when the log shows
    no progress for longer than its stall time.
    """
    start = Start(run, unit)
    stages = next((r for r in unit.ready if isinstance(r, LogStages)), None)
    generates = any(isinstance(r, Generates) for r in unit.ready)
    with closing(start.log()) as events:
        if stages:
            start.until_ready(events, placed, stages.stall)
        if generates:
            run.reporter.stage(Doing("ask for a completion"))
            answer, engine = health.first(start.session, start.watched)
            run.check()
            if answer.error is not None:
                start.read_on(events)
                what = f"{run.title(unit)} is ready but generates nothing: {answer.error}"
                waited = engine.state in ("wedged", "unclear")
                raise start.failure("no-completion", what, waited=waited)


class Start:
    """The start of one unit, as its log shows it."""

    def __init__(self, run: Run, unit: Unit) -> None:
        desired = run.outlook.of(unit.id)
        self.run, self.unit, self.engine = run, unit, desired.engine
        self.title = run.title(unit)
        self.view = desired.inventory
        self.session = run.session.within(self.view)
        self.progress = desired.engine.progress()
        self.watched = _watched(run, unit)

    def log(self) -> Generator[Followed | None]:
        """The events of node/follow.py; None after each second without one."""
        watched = self.watched
        request = {
            "path": watched.log,
            "offset": watched.offset,
            "pid": watched.pid,
            "started": watched.started,
        }
        title = f"{self.unit.title} log"
        session = self.run.session
        return follow(session, session.node(self.unit.node), request, title=title)

    def until_ready(
        self, events: Iterator[Followed | None], placed: Callable[[], bool] | None, stall: float
    ) -> None:
        """Take events until the log shows that the unit is ready."""
        progress, title = self.progress, self.title
        heard = looked = time.monotonic()
        news, ranks = progress.news, _Ranks(placed)
        for event in events:
            self.run.check()
            if time.monotonic() - looked > GAP:
                heard = time.monotonic()
            looked = time.monotonic()
            if event is not None:
                self.take(event, events)
                ranks.look(progress)
                if progress.ready:
                    if not ranks.seen:
                        self.run.reporter.note(
                            "warning: Ray does not show on which nodes the ranks run"
                        )
                    return
            if progress.news != news:
                heard, news = time.monotonic(), progress.news
            elif time.monotonic() - heard > stall:
                setting = f"{self.view.key}.stall_timeout"
                what = f"{title} made no progress for {stall:g} s ({setting})"
                text = f"{what} at stage {progress.title}"
                raise self.failure(self.engine.codes.stalled, text, waited=True)
        raise self.failure("log-lost", f"the connection to {title}'s log was lost")

    def take(self, event: Followed, events: Iterator[Followed | None]) -> None:
        """Take one event. Raises ServingError when the program has exited, or its log has a fatal
        line.
        """
        progress, title = self.progress, self.title
        if event.exited is not None:
            raise self.failure(self.engine.codes.exited, f"{title} exited during startup")
        if progress.feed(event.text or ""):
            self.run.reporter.stage(Doing(progress.title, progress.percent, usual=progress.usual))
        if progress.failed and not progress.ready:
            self.read_on(events)  # the trace, with the cause at its end
            raise self.failure(self.engine.codes.failed, f"{title} failed to start")

    def read_on(self, events: Iterator[Followed | None]) -> None:
        """Take what is logged now, until there is no more."""
        deadline = time.monotonic() + LAST_WORDS
        with suppress(RemoteError):  # what failed before is reported
            for event in events:
                if event is None or event.exited is not None or time.monotonic() > deadline:
                    return
                self.progress.feed(event.text or "")

    def failure(self, code: str, what: str, *, waited: bool = False) -> ServingError:
        """The error, with the cause that the log shows."""
        progress = self.progress
        known_failure = self.engine.explain(progress, waited=waited)
        self._save()
        return ServingError(
            f"{what}: {progress.described}" if progress.described else what,
            node=self.unit.node,
            code=code,
            data={
                "cause": known_failure.code if known_failure else None,
                "stage": progress.stage_id,
                **({"process": progress.source} if progress.source else {}),
            },
            hint=known_failure.text(self.view.key) if known_failure else None,
            log_tail=progress.tail,
        )

    def _save(self) -> None:
        """Copy the log to this machine, where the undo removes it together with our directory."""
        run = self.run
        if known(run.session.facts[self.unit.node].state).exists:
            return
        with suppress(OSError):
            path = keep(run.cluster, run.id, self.unit.node, self.unit.kind, self.progress.lines)
            run.reporter.note(
                f"{self.title}'s log is kept in {path}; read it with `sparkctl doctor --log`"
            )


def _watched(run: Run, unit: Unit) -> Watched:
    """What this run started, or another has."""
    if unit.id in run.started:
        started = run.started[unit.id]
        return Watched(started.pid, started.started, started.log, started.offset)
    record = run.outlook.seen.records[unit.id]
    return Watched(record.pid, record.started, record.log)


class _Ranks:
    """Looks for the ranks' nodes once they have joined, and again when the unit is ready."""

    def __init__(self, placed: Callable[[], bool] | None) -> None:
        self.seen = placed is None
        self._placed = placed
        self._looked = False

    def look(self, progress: Progress) -> None:
        """Raises what `placed` raises for a rank on a node where it does not belong."""
        if self._placed is None or self.seen or not progress.joined:
            return
        if progress.ready or not self._looked:
            self._looked, self.seen = True, self._placed()
