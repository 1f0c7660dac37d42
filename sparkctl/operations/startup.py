"""Watching vLLM start: by progress in its log, never by a fixed time."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sparkctl import kept
from sparkctl.engines.vllm.diagnosis import explain_start
from sparkctl.engines.vllm.progress import Progress
from sparkctl.errors import RemoteError, ServingError
from sparkctl.facts.calls import FOLLOW
from sparkctl.facts.decode import decode
from sparkctl.facts.unread import known
from sparkctl.node.follow import INTERVAL
from sparkctl.operations import health
from sparkctl.remote import node_rpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparkctl.facts.answers import Followed, Started
    from sparkctl.operations.run import Run

LAST_WORDS = 10.0  # seconds for what a dying vLLM still logs


def watch_start(run: Run, started: Started, *, placed: Callable[[], bool] = lambda: True) -> None:
    """Follow the log until vLLM is ready, then ask for a completion of a few tokens.

    `placed` is called once the ranks have their nodes, and again when vLLM is ready unless it gave
    True: it raises when one is on another node than planned. Raises ServingError with the cause and
    the log's tail on a fatal line, a dead process, no completion, or when the log shows no progress
    for longer than vllm.stall_timeout.
    """
    progress = Progress()
    with _log(run, started) as events:
        _until_ready(run, events, progress, placed)
        run.reporter.stage("ask for a completion", None)
        answer, engine = health.first(run.session, started)
        if answer.error is not None:
            _read_on(events, progress)
            what = f"vLLM is ready but generates nothing: {answer.error}"
            waited = engine.state in ("wedged", "unclear")
            raise _failure(run, "no-completion", what, progress, waited=waited)


@contextmanager
def _log(run: Run, started: Started) -> Iterator[Iterator[Followed | None]]:
    """The events of node/follow.py; None after each second without one."""
    request = {
        "cluster": run.cluster,
        "path": started.log,
        "offset": started.offset,
        "pid": started.pid,
        "started": started.started,
    }
    command = node_rpc.call(FOLLOW.target, request, title="vLLM log")
    name = run.session.inventory.head.name
    head = run.session.pool.connections[name]
    with head.stream(command, timeout=5 * INTERVAL) as lines:
        yield (decode(FOLLOW, t.encode(), name, command.title) if t else None for t in lines)


def _until_ready(
    run: Run, events: Iterator[Followed | None], progress: Progress, placed: Callable[[], bool]
) -> None:
    stall = run.session.inventory.vllm.stall_timeout
    heard, known = time.monotonic(), progress.news
    ranks = _Ranks(placed)
    for event in events:
        run.check()
        if event is not None:
            _take(run, event, events, progress)
            ranks.look(progress)
            if progress.ready:
                if not ranks.seen:
                    run.reporter.note("warning: Ray does not show on which nodes the ranks run")
                return
        if progress.news != known:
            heard, known = time.monotonic(), progress.news
        elif time.monotonic() - heard > stall:
            what = f"vLLM made no progress for {stall:g} s (vllm.stall_timeout)"
            raise _failure(
                run, "vllm-stalled", f"{what} at stage {progress.title}", progress, waited=True
            )
    raise _failure(run, "log-lost", "the connection to vLLM's log was lost", progress)


def _take(run: Run, event: Followed, events: Iterator[Followed | None], progress: Progress) -> None:
    """Take one event. Raises ServingError when vLLM has exited, or its log has a fatal line."""
    if event.exited is not None:
        raise _failure(run, "vllm-exited", "vLLM exited during startup", progress)
    if progress.feed(event.text or ""):
        run.reporter.stage(progress.title, progress.percent)
    if progress.failed and not progress.ready:
        _read_on(events, progress)  # the trace, with the cause at its end
        raise _failure(run, "vllm-failed", "vLLM failed to start", progress)


class _Ranks:
    """Looks for the ranks' nodes once they have joined, and again when vLLM is ready."""

    def __init__(self, placed: Callable[[], bool]) -> None:
        self.seen = False
        self._placed = placed
        self._looked = False

    def look(self, progress: Progress) -> None:
        """Raises what `placed` raises for a rank on a node where it does not belong."""
        if progress.joined and not self.seen and (progress.ready or not self._looked):
            self._looked, self.seen = True, self._placed()


def _read_on(events: Iterator[Followed | None], progress: Progress) -> None:
    """Take what is logged now, until there is no more."""
    deadline = time.monotonic() + LAST_WORDS
    with suppress(RemoteError):  # what failed before is reported
        for event in events:
            if event is None or event.exited is not None or time.monotonic() > deadline:
                return
            progress.feed(event.text or "")


def _failure(
    run: Run, code: str, what: str, progress: Progress, *, waited: bool = False
) -> ServingError:
    root = progress.root
    known = explain_start(progress, waited=waited)
    _save(run, progress)
    return ServingError(
        f"{what}: {root.described}" if root else what,
        node=run.session.inventory.head.name,
        code=code,
        data={
            "cause": known.code if known else None,
            "stage": progress.stage_id,
            **({"process": root.source} if root and root.source else {}),
        },
        hint=known.text if known else None,
        log_tail=progress.tail,
    )


def _save(run: Run, progress: Progress) -> None:
    """Copy the log to this machine, where the undo removes it together with our directory."""
    if known(run.session.facts[run.session.inventory.head.name].state).exists:
        return
    with suppress(OSError):
        path = kept.write(f"{run.cluster}-{run.id}.vllm.log", "\n".join([*progress.lines, ""]))
        run.reporter.note(f"vLLM's log is kept in {path}; read it with `sparkctl doctor --log`")
