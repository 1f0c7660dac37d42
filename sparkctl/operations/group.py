"""The units of a group that starts: while one becomes ready, the death of another ends its wait."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.errors import SparkctlError
from sparkctl.operations import startup

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.events import Doing, Outcome, Reporter
    from sparkctl.node.units import Unit
    from sparkctl.operations.run import Run


def guarded(run: Run, unit: Unit, wait: Callable[[Run], None]) -> None:
    """Carry out the wait for a unit while the logs of its group's other units are followed, whose
    own `ready` says nothing: all ranks of an engine under mp wait for one that has died.

    Raises as `wait` does, and the first failure of another unit.
    """
    others = [u for u in _others(run, unit) if not u.ready]
    over, done = _Over(run.over), threading.Event()

    def follow(other: Unit) -> None:
        try:
            _follow(replace(run, reporter=_Notes(run.reporter)), other, done)
        except SparkctlError as error:
            if not done.is_set():
                over.end(error)

    for other in others:
        threading.Thread(target=follow, args=(other,), name=other.id, daemon=True).start()
    try:
        wait(replace(run, over=over) if others else run)
    except KeyboardInterrupt:
        if over.error:
            raise over.error from None
        raise
    finally:
        done.set()


def _others(run: Run, unit: Unit) -> list[Unit]:
    """The group's other units that this run started, or waits for."""
    pending = {*run.started, *run.outlook.waits}
    known = run.outlook.units.values()
    return [u for u in known if u.group == unit.group and u is not unit and u.id in pending]


def _follow(run: Run, unit: Unit, done: threading.Event) -> None:
    start = startup.Start(run, unit)
    with closing(start.log()) as events:
        for event in events:
            if done.is_set():
                return
            if event is not None:
                start.take(event, events)


class _Over(threading.Event):
    """Set with the error that ends a wait, or once the wait of which that is a part is over."""

    def __init__(self, outer: threading.Event) -> None:
        super().__init__()
        self.error: SparkctlError | None = None
        self._outer = outer

    def end(self, error: SparkctlError) -> None:
        """The first error counts."""
        if not self.is_set():
            self.error = error
            self.set()

    def is_set(self) -> bool:
        return super().is_set() or self._outer.is_set()


class _Notes:
    """Reports notes alone: the stages are those of the unit that is waited for."""

    def __init__(self, inner: Reporter) -> None:
        self._inner = inner

    def step(self, title: str) -> None:
        pass

    def stage(self, doing: Doing) -> None:
        pass

    def part(self, name: str, doing: Doing) -> None:
        pass

    def ended(self, name: str, text: str, outcome: Outcome = "done") -> None:
        pass

    def note(self, text: str) -> None:
        self._inner.note(text)

    def end(self, outcome: Outcome = "done") -> None:
        pass
