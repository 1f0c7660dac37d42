"""The processes in logs, each with what it printed, and the start that each belongs to; pure.

A log to which programs append has every start since it was begun; the verdict is on the last one.
A process that has the rank, or the engine's name, of one that ended its lines before is of a later
start.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sparkctl.fabric.nccllog.rank import RankState
from sparkctl.fabric.nccllog.torn import absorb, one_start, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sparkctl.fabric.nccllog.lines import Record

MOST = 512  # processes that are kept, those with the latest lines
PAST = 64  # of those that are known to have ended, the latest
SURE = 4  # lines by which a process is known well enough to cut off what is glued to its name
BEGIN = ("Bootstrap: Using", "Bootstrap : Using")  # a process prints one of these, once


class Processes:
    """Takes the records of each process, and divides the processes by start."""

    def __init__(self) -> None:
        self._states: dict[str, RankState] = {}
        self._past: list[RankState] = []
        self._starts: Counter[str] = Counter()  # that a file shows by a line of its own
        self._dropped: Counter[int | None] = Counter()

    def owner(self, host: str, pid: int) -> str | None:
        """The known host with that pid that the name ends in; None for a known process."""
        if f"{host}:{pid}" in self._states:
            return None
        known = (s.host for s in self._states.values() if s.pid == pid and s.count >= SURE)
        return next((name for name in known if name and host.endswith(name)), None)

    def feed(self, record: Record, file: str, line: int) -> None:
        """Read the next record, which is in `file` at `line`."""
        name = f"{record.host}:{record.pid}"
        state = self._states.pop(name, None)
        if state and _begins_again(state, record, file):
            self._end([state])  # a container's processes have the same pids after a restart
            state = None
        state = self._states[name] = state or RankState(record.host, record.pid)
        if len(self._states) > MOST:
            self._drop(self._states.pop(next(iter(self._states))))
        state.starts.setdefault(file, self._starts[file])
        state.feed(record, file, line)

    def start(self, file: str) -> None:
        """A program is started: the file's lines before are of processes that ended."""
        self._starts[file] += 1
        ended = [name for name, state in self._states.items() if file in state.spans]
        self._end([self._states.pop(name) for name in ended])

    def _end(self, states: Iterable[RankState]) -> None:
        self._past += states
        while len(self._past) > PAST:
            self._drop(self._past.pop(0))

    def _drop(self, state: RankState) -> None:
        if state.rank in self._dropped or len(self._dropped) < PAST:
            self._dropped[state.rank] += 1

    @property
    def dropped(self) -> int:
        """The number of earlier starts of which nothing is kept: each has a rank once."""
        return max(self._dropped.values(), default=0)

    def last_start(self) -> tuple[list[RankState], list[list[RankState]]]:
        """The processes of the last start in each file, and those of each start before it."""
        states: list[RankState] = []
        before: list[list[RankState]] = []
        every = whole(self._by_name())
        for file in {file: None for state in every for file in state.spans}:
            starts = self._divided([state for state in every if file in state.spans], file)
            states += starts[-1]
            before += starts[:-1]
        ended = {id(state) for start in before for state in start}
        last = {id(state): state for state in states if id(state) not in ended}
        return list(last.values()), before

    def _by_name(self) -> list[RankState]:
        """The processes; those that only repeated a line of their beginning are put together."""
        found: dict[str, list[RankState]] = {}
        for state in (*self._past, *self._states.values()):
            known = found.setdefault(state.name, [])
            if known and one_start(known[-1], state) and _same(known[-1], state):
                absorb(known[-1], state)
            else:
                known.append(state)
        return [state for states in found.values() for state in states]

    def _divided(self, states: Sequence[RankState], file: str) -> list[list[RankState]]:
        """The processes of a file by start, in the order of their lines; the last may be empty."""
        starts: list[list[RankState]] = []
        number = -1
        for group in _connected(sorted(states, key=lambda s: s.spans[file]), file):
            now = group[0].starts[file]
            if now != number or any(_restarted(b, s, file) for b in starts[-1] for s in group):
                starts.append([])
            starts[-1] += group
            number = now
        return starts if number == self._starts[file] else [*starts, []]


def _connected(states: Iterable[RankState], file: str) -> list[list[RankState]]:
    """The processes that share a communicator, together; the others alone."""
    groups: list[list[RankState]] = []
    by_communicator: dict[tuple[int, str], list[RankState]] = {}
    for state in states:
        mine = [(state.starts[file], name) for name in sorted(state.communicators)]
        group = next((by_communicator[key] for key in mine if key in by_communicator), None)
        if group is None:
            groups.append(group := [])
        group.append(state)
        by_communicator |= dict.fromkeys(mine, group)
    return groups


def _begins_again(state: RankState, record: Record, file: str) -> bool:
    """Whether the record is the first line of another process with the same name."""
    if not (state.size and record.message.startswith(BEGIN)):
        return False
    return any(line.file == file for line in state.marks.get("bootstrap", ()))


def _same(before: RankState, state: RankState) -> bool:
    """Whether lines of one name are of one process, of which a line is there twice."""
    if state.communicators:
        return bool(before.communicators & state.communicators)
    return not (state.networks or state.faults)


def _restarted(before: RankState, state: RankState, file: str) -> bool:
    """Whether a process is of a later start than one that printed before it."""
    if before.spans[file][1] >= state.spans[file][0] or before.communicators & state.communicators:
        return False
    if before.name == state.name:
        return True
    if before.engine and state.engine:
        return before.engine[0] == state.engine[0] and before.engine[1] != state.engine[1]
    return before.rank is not None and (before.rank, before.size) == (state.rank, state.size)
