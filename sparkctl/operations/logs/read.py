"""The logs of units, read from all their nodes at once, or followed until Ctrl-C."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import dataclass
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any, NamedTuple

from sparkctl.errors import SparkctlError
from sparkctl.operations.follow import follow
from sparkctl.operations.logs.selection import missing
from sparkctl.remote.fanout import each
from sparkctl.remote.reconnect import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sparkctl.operations.logs.selection import Log
    from sparkctl.operations.logs.since import Since
    from sparkctl.operations.session import Session

AHEAD = 16  # pieces of at most 64 KiB that are read ahead of what is shown


@dataclass(frozen=True)
class Wanted:
    """What of each log: since a time, and of that the last `lines`, None for all of it; `follow`:
    also what comes.
    """

    lines: int | None
    since: Since | None = None
    follow: bool = False

    def request(self) -> dict[str, Any]:
        """The request to node/follow.py, to be sent at once."""
        since = {"since": self.since.seconds()} if self.since else {}
        lines = {"lines": self.lines} if self.lines is not None else {"all": True}
        return {**since, **lines, "follow": self.follow}


class Piece(NamedTuple):
    """What comes of a log: a text, a note for the user (without `log` where it is of a node), or
    the error that ended it; `ended`: nothing more comes.
    """

    log: Log | None
    text: str = ""
    note: str = ""
    error: SparkctlError | None = None
    ended: bool = False


def read_logs(
    session: Session,
    logs: Sequence[Log],
    wanted: Wanted,
    show: Callable[[Iterator[Piece]], object],
) -> None:
    """Let `show` take the logs' pieces: one log after the other in their order, each read ahead
    meanwhile, or, with `follow`, as they come, also over lost connections.

    A log that fails does not end the others. Raises what `show` raises, at once.
    """
    over = threading.Event()
    room = max(AHEAD, len(logs))
    count = 1 if wanted.follow else len(logs)
    queues: list[Queue[Piece]] = [Queue(room) for _ in range(count)]

    def give(number: int, piece: Piece) -> None:
        if not over.is_set():
            queues[number % count].put(piece)

    within = session.within(session.inventory)
    if wanted.follow:
        within.patience = Patience(lambda text: give(0, Piece(None, note=text)), over=over)

    def read(number: int) -> None:
        log = logs[number]
        try:
            for piece in _pieces(within, log, wanted):
                give(number, piece)
        except SparkctlError as error:
            give(number, Piece(log, error=error))
        finally:
            give(number, Piece(log, ended=True))

    def pieces() -> Iterator[Piece]:
        for queue in queues:
            left = len(logs) if wanted.follow else 1
            while left:
                piece = queue.get()
                left -= piece.ended
                yield piece

    try:
        each(
            range(len(logs)),
            read,
            key=lambda number: f"{logs[number].unit} on {logs[number].node.name}",
            meanwhile=lambda: show(pieces()),
        )
    finally:
        over.set()
        for queue in queues:
            _empty(queue)


def _pieces(session: Session, log: Log, wanted: Wanted) -> Iterator[Piece]:
    """Raises the error of a log that is missing, or that could not be read."""
    request = {"unit": log.unit, **wanted.request()}
    path, ends, exists, shown = "", True, False, False
    with closing(follow(session, log.node, request, title=f"read the log of {log.unit}")) as events:
        for event in events:
            if event is None:
                continue
            if event.untimed:
                yield Piece(log, note="no times are recorded for this log; --since is ignored")
            if event.at is not None:
                if path not in ("", event.at.path) and not ends:  # the next start's log
                    yield Piece(log, "\n")
                path = event.at.path
            exists = exists or event.at is not None or bool(event.text)
            if event.text:
                shown = True
                yield Piece(log, event.text)
                ends = event.text.endswith("\n")
    if not exists and not wanted.follow:
        raise missing(session.inventory, log)
    if not shown and not wanted.follow and wanted.lines != 0:
        yield Piece(log, note="no lines since then" if wanted.since else "the log is empty")


def _empty(queue: Queue[Piece]) -> None:
    """Make room for a thread that waits for it, which then sees that all is over."""
    try:
        while True:
            queue.get_nowait()
    except Empty:
        pass
