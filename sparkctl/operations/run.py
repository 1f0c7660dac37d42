"""A run of titled steps, rolled back in reverse when one fails."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.errors import LeaseLostError, SparkctlError, Terminated
from sparkctl.events import Reporter, outcome_of
from sparkctl.node.unitid import kind_of, service_of
from sparkctl.operations.lease import settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sparkctl.facts.answers import Started
    from sparkctl.node.units import Unit
    from sparkctl.operations.outlook import Outlook
    from sparkctl.operations.session import Session

LEFT = "Left running. `sparkctl up` starts what is missing and watches it, `sparkctl down` ends it."
GOES_ON = "The start goes on. `sparkctl up` watches it, `sparkctl down` ends it."


@dataclass
class Run:
    """One `up`: what should run, the reporter, and how to roll back."""

    session: Session
    outlook: Outlook
    reporter: Reporter
    cluster_id: str = ""
    id: str = field(default_factory=lambda: time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(2))
    seconds: dict[str, float] = field(default_factory=dict)
    started: dict[str, Started] = field(default_factory=dict)  # by unit, what this run started
    ready: set[str] = field(default_factory=set)  # units that were waited for
    ended: tuple[str, ...] = ()  # the models that it stopped
    undo: list[tuple[str, Callable[[], object]]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)  # see operations/together.py

    @property
    def cluster(self) -> str:
        """The cluster's name."""
        return self.session.inventory.cluster

    def check(self) -> None:
        """Raise LeaseLostError once another run holds the lease, KeyboardInterrupt once the wait of
        which this is a part is over.
        """
        if self.over.is_set():
            raise KeyboardInterrupt
        if self.session.lease is not None:
            self.session.lease.check()

    def confirm(self) -> None:
        """The same, after asking the nodes."""
        if self.session.lease is not None:
            self.session.lease.confirm()

    def title(self, unit: Unit) -> str:
        """What people call a unit, such as `vLLM`; of one of several services `vLLM of small`."""
        return unit.title + self._owner(service_of(unit.id))

    def named(self, units: Sequence[str]) -> str:
        """What people call these units, such as `Ray workers, vLLM`; `;` is between services."""
        every = {**self.outlook.seen.recorded, **self.outlook.units}
        titles: dict[str, list[str]] = {}
        for name in units:
            title = every[name].title if name in every else kind_of(name)
            titles.setdefault(self._owner(service_of(name)), []).append(title)
        return "; ".join(_counted(found) + owner for owner, found in titles.items())

    def _owner(self, service: str) -> str:
        return f" of {service}" if len(self.session.inventory.views) > 1 else ""

    def mark(self, unit: Unit) -> dict[str, str]:
        """The environment that marks a unit's processes."""
        return {
            "SPARKCTL_CLUSTER": f"{self.cluster}/{self.id}",
            "SPARKCTL_ROLE": unit.kind,
            "SPARKCTL_UNIT": unit.id,
        }


def _counted(titles: Sequence[str]) -> str:
    counts = {title: titles.count(title) for title in titles}
    # A name, as vLLM, has no plural.
    return ", ".join(t + "s" * (count > 1 and t[-1].islower()) for t, count in counts.items())


@dataclass(frozen=True)
class Step:
    """One titled step."""

    title: str
    apply: Callable[[Run], None]


def perform(
    run: Run, steps: Iterable[Step], *, keep: bool, leave: Callable[[], bool] = lambda: False
) -> None:
    """Apply the steps in order; on a failure or Ctrl-C roll back, unless `keep` or the lease is
    lost.

    After Ctrl-C `leave` is asked whether what this run started goes on. What another run started
    and this one only waited for goes on in any case. The failure is raised again after the
    rollback.
    """
    try:
        for step in steps:
            run.check()
            run.reporter.step(step.title)
            start = time.monotonic()
            step.apply(run)
            # Two services have steps of one title.
            before = run.seconds.get(step.title, 0.0)
            run.seconds[step.title] = round(before + time.monotonic() - start, 2)
    except LeaseLostError:
        raise
    except BaseException as error:
        run.reporter.end(outcome_of(error))
        stopped = isinstance(error, KeyboardInterrupt)
        if stopped:
            run.session.hurry()
        try:
            if stopped and not run.undo and not run.ended:
                if run.outlook.waits:
                    run.reporter.note(GOES_ON)
            elif _is_left(run, error, keep=keep, leave=leave):
                run.ended = ()
                run.reporter.note(LEFT)
            elif keep:
                run.reporter.note("Not rolled back (--keep).")
            else:
                undo(run)
        except LeaseLostError:
            run.ended = ()  # what runs now belongs to another run
            raise
        finally:
            for model in run.ended:
                run.reporter.note(
                    f"{model} is down: it was stopped for the restart. Run `sparkctl up` to"
                    " start it."
                )
        raise


def _is_left(run: Run, error: BaseException, *, keep: bool, leave: Callable[[], bool]) -> bool:
    """Whether the user leaves it running, who is asked after Ctrl-C alone."""
    asks = isinstance(error, KeyboardInterrupt) and not isinstance(error, Terminated)
    return asks and bool(run.undo) and not keep and leave()


def undo(run: Run) -> None:
    """Roll back what this run did, the last first; a failing part does not stop the others.

    Raises KeyboardInterrupt when it is interrupted itself, LeaseLostError when another run has
    taken over: what runs then belongs to that run.
    """
    if not run.undo:
        return
    late = run.session.pool.changing()
    try:
        run.confirm()
        _take_back(run, run.reporter.step)
        # A start that Ctrl-C interrupted on its way to a node may arrive after the rollback.
        if settle(late):
            _take_back(run, lambda _: None)
    except KeyboardInterrupt:
        run.reporter.end("interrupted")
        run.reporter.note("Rollback interrupted. Run `sparkctl down` to clean up.")
        raise
    run.reporter.end()
    run.reporter.note("Rolled back.")
    run.undo.clear()


def _take_back(run: Run, report: Callable[[str], None]) -> None:
    for title, action in reversed(run.undo):
        report(f"roll back: {title}")
        try:
            action()
        except SparkctlError as error:
            run.reporter.end("failed")
            run.reporter.note(f"rollback failed: {title}: {error}")
