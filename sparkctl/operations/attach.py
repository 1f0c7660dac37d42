"""Watching a start that another `up` makes, until that has ended or is gone."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.ages import ago
from sparkctl.engines.table import ENGINES
from sparkctl.errors import LockedError, RemoteError, SparkctlError
from sparkctl.events import Doing
from sparkctl.facts.calls import FREE_LEASE, READ_FILES
from sparkctl.node.unitid import service_of
from sparkctl.node.units import READY, STARTING, Running, Unread
from sparkctl.operations import lease
from sparkctl.operations.follow import follow
from sparkctl.operations.outlook import read
from sparkctl.operations.starting import stages_of
from sparkctl.operations.together import Part
from sparkctl.plan import record
from sparkctl.plan.paths import APPLIED
from sparkctl.remote.reconnect import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sparkctl.events import Reporter
    from sparkctl.inventory.models import Node
    from sparkctl.node.units import Unit
    from sparkctl.operations.session import Session
    from sparkctl.plan.desired import Desired

WHY = "up"  # what the lease of an `up` says
FREE = "wait for the lease"
CALL = 20.0  # seconds of one call that waits for the lease: it outlives a controller so long
LOOK = 1.0  # seconds between looks for a log while none is recorded


@dataclass(frozen=True)
class Underway:
    """A start by another `up` that was not waited for: its services, and the units that are not
    ready yet; `launched`: all of them run, so that they go on without that `up`.
    """

    desired: tuple[Desired, ...]
    starting: tuple[str, ...]
    launched: bool


@contextmanager
def after_others(
    session: Session,
    reporter: Reporter,
    holding: Callable[[], AbstractContextManager[object]],
    *,
    detach: bool = False,
) -> Iterator[Underway | None]:
    """Hold the lease by `holding`, once no other `up` holds it, whose start is watched meanwhile.

    With `detach` another's start is not waited for, unless its `up` has died before it has started
    all: yields what is under way, without the lease.
    Raises LockedError when another command than `up` holds it, or an `up` whose lease does not
    expire.
    """
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(holding())
                break
            except LockedError as error:
                if error.node is None or not _is_start(error):
                    raise
                at, who = session.node(error.node), str(error.data["who"])
                began = f"{who} began the start {ago(str(error.data['when']), time.time())}"
            found = _underway(session) if detach else None
            if found and (found.launched or _is_renewed(session, at)):
                reporter.note(began)
                yield found
                return
            reporter.note(began)
            _watch(session, reporter, at, who)
            forget(session)
        yield None


def _is_start(error: LockedError) -> bool:
    return error.data.get("why") == WHY and error.data.get("expires_in") is not None


def forget(session: Session) -> None:
    """Forget the nodes' facts: what was read while another held the lease is not relied on."""
    session.facts.clear()
    session.unread.clear()
    session.asked.clear()
    session.recalled.clear()


def _underway(session: Session) -> Underway | None:
    """What another's `up` starts now; None where everything is ready."""
    desired, seen = read(session)
    units = {name: unit for found in desired for name, unit in found.units.items()}
    observed = seen.observed(units)
    states = {u: observed[u] for u in units if not isinstance(observed[u], Unread)}
    starting = tuple(
        u for u, o in states.items() if not (isinstance(o, Running) and o.phase == READY)
    )
    forget(session)
    launched = all(isinstance(observed[u], Running) for u in units)
    return Underway(tuple(desired), starting, launched) if starting else None


def _watch(session: Session, reporter: Reporter, at: Node, who: str) -> None:
    """Report the stages of another's start until it has released its lease, or lost it.

    Lost connections are waited for meanwhile. Ctrl-C ends the watching alone.
    """
    reporter.step(f"watch the start by {who}")
    over = threading.Event()
    failed: list[SparkctlError] = []

    def wait() -> None:
        try:
            while not over.is_set() and _is_held(session, at):
                pass
        except SparkctlError as error:
            failed.append(error)
        finally:
            over.set()

    session.patience = Patience(reporter.note, over=over)
    try:
        threading.Thread(target=wait, name="another's lease", daemon=True).start()
        _follow_all(session, reporter, over)
    except KeyboardInterrupt:
        over.set()
        reporter.end("interrupted")
        reporter.note(f"The start by {who} goes on.")
        raise
    finally:
        over.set()
        session.patience = None
    if failed:
        raise failed[0]


def _follow_all(session: Session, reporter: Reporter, over: threading.Event) -> None:
    """Report the stages of all services at once, of each one log after the other, until `over`."""
    several, lock = len(session.inventory.views) > 1, threading.Lock()
    followed: set[str] = set()  # units: two nodes may have logs of one path
    busy: dict[str, threading.Thread] = {}
    while not over.wait(LOOK):
        for node, unit, path in _logs(session):
            service = service_of(unit.id)
            if unit.id in followed or (service in busy and busy[service].is_alive()):
                continue
            followed.add(unit.id)
            part = Part(service if several else "", reporter, over, lock)
            log = (session, part, node, (unit, path), over)
            busy[service] = threading.Thread(target=_follow, args=log, name=path, daemon=True)
            busy[service].start()
    for thread in busy.values():
        thread.join(2 * LOOK)  # it ends at its next look


def _is_held(session: Session, at: Node) -> bool:
    answer = session.ask(at, FREE_LEASE, {"timeout": CALL}, timeout=CALL + 15, title=FREE)
    return answer.holder is not None


def _is_renewed(session: Session, at: Node) -> bool:
    """Whether the lease's holder still renews it; takes as long as a renewal does.

    Else that `up` may be dead: it is watched, and what it has not started is started after it.
    """
    timeout = 1.3 * lease.INTERVAL
    answer = session.ask(at, FREE_LEASE, {"timeout": timeout}, timeout=timeout + 15, title=FREE)
    left = answer.holder.expires_in if answer.holder else None
    return left is not None and left > lease.SECONDS - timeout


def _logs(session: Session) -> Iterator[tuple[Node, Unit, str]]:
    """The units whose start the nodes have recorded and whose log shows stages."""
    nodes = [n for n in session.inventory.nodes if n.name in session.pool.connections]
    answers = session.ask_all(nodes, READ_FILES, lambda _: {"names": [APPLIED]})
    for name, files in answers.ok.items():
        for started in record.parsed(files.get(APPLIED), "vllm", name).units.values():
            unit = started.unit
            if unit and started.phase == STARTING and started.log and stages_of(unit):
                yield session.node(name), unit, started.log


def _follow(
    session: Session, reporter: Reporter, node: Node, log: tuple[Unit, str], over: threading.Event
) -> None:
    """Report the stages in a unit's log until the last, or until `over`."""
    unit, path = log
    stages = stages_of(unit)
    engine = ENGINES.get(stages.engine) if stages else None
    if engine is None:
        return
    progress = engine.progress()
    request = {"path": path, "offset": 0}
    # A log that cannot be read ends nothing: whether the start goes on, its lease says.
    with (
        suppress(RemoteError),
        closing(follow(session, node, request, title=f"{unit.title} log")) as events,
    ):
        for event in events:
            if event and progress.feed(event.text or ""):
                reporter.stage(Doing(progress.title, progress.percent, usual=progress.usual))
            if over.is_set() or progress.ready or progress.failed:
                return
