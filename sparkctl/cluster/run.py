"""A run of titled steps, with what each has done undone in reverse when one fails."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sparkctl.cluster.difference import Difference
from sparkctl.cluster.session import Session
from sparkctl.cluster.wish import Wish
from sparkctl.errors import SparkctlError
from sparkctl.remote.aside import aside
from sparkctl.report.reporter import Reporter

SETTLE = 20.0  # seconds for calls that were interrupted to end; starts answer within one


@dataclass
class Run:
    """One `up`: what it wants, what it tells, and how to take back what it did."""

    session: Session
    wish: Wish
    difference: Difference
    reporter: Reporter
    id: str = field(default_factory=lambda: time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(2))
    token: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    undo: list[tuple[str, Callable[[], object]]] = field(default_factory=list)

    @property
    def cluster(self) -> str:
        """The cluster's name."""
        return self.session.inventory.cluster

    def mark(self, role: str) -> dict[str, str]:
        """The environment that tells our processes from everybody else's."""
        return {"SPARKCTL_CLUSTER": f"{self.cluster}/{self.id}", "SPARKCTL_ROLE": role}


@dataclass(frozen=True)
class Step:
    """One titled step; `wanted` says whether this run needs it."""

    title: str
    apply: Callable[[Run], None]
    wanted: Callable[[Run], bool] = lambda _run: True


def perform(run: Run, steps: tuple[Step, ...], *, keep: bool) -> None:
    """Apply the wanted steps in order; on a failure or Ctrl-C undo in reverse, unless `keep`.

    The failure is raised again after the undo.
    """
    try:
        for step in steps:
            if step.wanted(run):
                run.reporter.step(step.title)
                start = time.monotonic()
                step.apply(run)
                run.seconds[step.title] = round(time.monotonic() - start, 2)
    except BaseException:
        if keep:
            run.reporter.note("--keep: what this run started is left for inspection")
        else:
            undo(run)
        raise


def undo(run: Run) -> None:
    """Take back what this run did, the last first; a failing part does not stop the others.

    Raises KeyboardInterrupt when it is interrupted itself, once it has told so.
    """
    if not run.undo:
        return
    late = run.session.pool.changing()
    try:
        _take_back(run, run.reporter.step)
        # A start that Ctrl-C met on its way to a node may have come after its end was looked for.
        if settle(late):
            _take_back(run, lambda _: None)
    except KeyboardInterrupt:
        run.reporter.note("the undoing was interrupted: `sparkctl down` ends what is left")
        raise
    run.reporter.step("what this run had started is undone")
    run.undo.clear()


def _take_back(run: Run, tell: Callable[[str], None]) -> None:
    for title, action in reversed(run.undo):
        tell(f"undo: {title}")
        try:
            action()
        except SparkctlError as error:
            run.reporter.note(f"could not {title}: {error}")


def settle(calls: Sequence[threading.Event]) -> bool:
    """Wait for the ends of calls that an interruption left under way; False when there is none."""
    deadline = time.monotonic() + SETTLE
    aside(lambda: [call.wait(max(0.0, deadline - time.monotonic())) for call in calls])
    return bool(calls)


@contextmanager
def locked(session: Session, why: str) -> Iterator[None]:
    """Hold the cluster's lock, a directory on the head, with who, when and why in it.

    Raises SparkctlError naming the owner when somebody else holds it.
    """
    token = secrets.token_hex(8)
    owner = {
        "who": f"{getpass.getuser()}@{socket.gethostname()} (pid {os.getpid()})",
        "when": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "why": why,
        "token": token,
    }
    head = session.inventory.head
    try:
        other = session.ask(head, "lock.take", {"owner": owner}, title="taking the lock")["owner"]
        if other is not None:
            raise SparkctlError(
                f"cluster {session.inventory.cluster} is locked by {other['who']}"
                f" since {other['when']} ({other['why']})",
                node=head.name,
                hint="wait for it; if that run is dead, `sparkctl down --break-lock` clears it",
            )
        yield
    finally:
        # Ctrl-C may have met the taking on its way. Another's lock is left: the token tells.
        settle(session.pool.changing())
        session.ask(head, "lock.release", {"token": token}, title="giving the lock back")
