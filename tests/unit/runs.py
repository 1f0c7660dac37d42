"""A run without nodes, and a reporter that remembers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from sparkctl.operations.run import Run, Step

if TYPE_CHECKING:
    import threading

    from sparkctl.events import Doing, Outcome


class Told:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def step(self, title: str) -> None:
        self.said.append(title)

    def stage(self, doing: Doing) -> None:
        self.said.append(doing.title)

    def part(self, name: str, doing: Doing) -> None:
        self.said.append(f"{name}: {doing.title}")

    def ended(self, name: str, text: str, outcome: Outcome = "done") -> None:
        self.said.append(f"{name}: {text} ({outcome})")

    def watch(self, waits: object) -> None:
        pass

    note = step

    def end(self, outcome: Outcome = "done") -> None:
        self.said.append(f"({outcome})")


def pool(*under_way: threading.Event) -> SimpleNamespace:
    """Connections with these changing calls, each until its event is set."""
    return SimpleNamespace(changing=lambda: [e for e in under_way if not e.is_set()])


def make(session: Any = None, outlook: Any = None) -> tuple[Run, Told]:
    """A run with a reporter that remembers; nothing else of it is looked at."""
    told = Told()
    session = session or SimpleNamespace(pool=pool(), lease=None, hurry=lambda: None)
    return Run(session, outlook, told), told


def steps(done: list[str], failure: BaseException) -> tuple[Step, ...]:
    """Two steps that can be undone, and one that fails."""

    def started(what: str) -> Step:
        def apply(run: Run) -> None:
            done.append(what)
            run.undo.append((what, lambda: done.append(f"undo {what}")))

        return Step(what, apply)

    def fail(_run: Run) -> None:
        raise failure

    return started("head"), started("worker"), Step("vLLM", fail), started("never")
