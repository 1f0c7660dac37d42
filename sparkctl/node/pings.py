"""Don't-fragment pings to the peers, enough of them on each half to show loss."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from sparkctl.node.subprocesses import Started, start

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.node.peerwire import Ping, Pinged
    from sparkctl.node.subprocesses import Ended

COUNT, INTERVAL = 50, 0.02  # seconds between two packets, so that all are sent within one
# iputils before 20210722 refuses users less than 0.2 s. Several pings at once then send as many
# packets in the same time, of PROCESSES at most on a node.
FEW, USER_INTERVAL = 5, 0.2
PROCESSES = 64
SECONDS = 5.0  # for all of them: one to send, one to wait for the last answer, three spare
# So few may be ping's own loss: its receive buffer has 64 KiB, some packets of this size, for the
# answers to all pings while it waits for a processor (iputils ping/ping_common.c, sock_setbufs).
FEW_LOST = 2
# iputils, busybox and inetutils: "50 packets transmitted, 45 [packets ]received, +3 duplicates, …".
# Duplicates are not among the received.
STATISTICS = re.compile(
    r"^(\d{1,9}) packets transmitted, (\d{1,9}) (?:packets )?received\b.*", re.M
)
LONGEST = 200  # characters of ping's own words


def begin(pings: Sequence[Ping]) -> list[Started]:
    """Start all pings at once."""
    return [_start(ping, COUNT, INTERVAL) for ping in pings]


def finish(pings: Sequence[Ping], started: Sequence[Started]) -> list[Pinged]:
    """What came of them: `sent` and `received` are packets, null where ping sent none.

    `error` is why all were lost, `problem` why none was sent, else null. A ping that printed no
    statistics is tried again at the interval that every user may have, and one that lost FEW_LOST
    at most is sent again: only what loses packets twice is a path that does.
    """
    ended = [[end] for end in _ended(started)]
    again = [at for at, (end,) in enumerate(ended) if _refused(end)]
    if again:
        each = max(1, min(COUNT // FEW, PROCESSES // len(again)))
        slow = _ended([_start(pings[at], FEW, USER_INTERVAL) for at in again for _ in range(each)])
        for at in again:
            ended[at] = [next(slow) for _ in range(each)]
    found = [_pinged(ping, ended[at]) for at, ping in enumerate(pings)]
    few = [at for at, ping in enumerate(found) if 0 < _lost(ping) <= FEW_LOST]
    for number, end in enumerate(_ended(begin([pings[at] for at in few]))):
        at = few[number]
        second = _pinged(pings[at], [end])
        is_clean = second["sent"] and not _lost(second)
        found[at] = second if is_clean else _pinged(pings[at], [*ended[at], end])
    return found


def _lost(ping: Pinged) -> int:
    """The packets without an answer; 0 where none was sent."""
    return (ping["sent"] or 0) - (ping["received"] or 0)


def _start(ping: Ping, count: int, interval: float) -> Started:
    # Without -w, which sends until as many answers as `count` are in and so hides loss.
    bounds = f"-n -q -c {count} -i {interval:g} -W 1 -M do -s {ping['size']}"
    return start(["ping", *bounds.split(), "-I", ping["interface"], ping["address"]], LC_ALL="C")


def _ended(started: Sequence[Started]) -> Iterator[Ended | OSError]:
    """How each ended, or why it has no end, all within SECONDS."""
    deadline = time.monotonic() + SECONDS
    for program in started:
        try:
            yield program.wait(max(0.1, deadline - time.monotonic()))
        except OSError as error:
            yield error


def _refused(end: Ended | OSError) -> bool:
    """Whether it ended and had sent nothing."""
    return not isinstance(end, OSError) and not STATISTICS.search(end.out)


def _pinged(ping: Ping, ended: Sequence[Ended | OSError]) -> Pinged:
    """What several pings of the same path sent and received together."""
    shown = [m for e in ended if not isinstance(e, OSError) and (m := STATISTICS.search(e.out))]
    sent, received = (sum(int(m[group]) for m in shown) for group in (1, 2))
    if not sent:
        first = ended[0]
        problem = str(first) if isinstance(first, OSError) else first.last
        problem = problem[:LONGEST]
        return {**ping, "sent": None, "received": None, "error": problem, "problem": problem}
    error = None if received else shown[0][0][:LONGEST]
    return {**ping, "sent": sent, "received": received, "error": error, "problem": None}
