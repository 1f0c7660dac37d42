"""Which processes of a log are torn lines of another, and what those lines add to it; pure.

Processes that share a pipe write into each other's lines, and a log that is cut or rotated begins
within one. What is left of `spark-1:684:684 [0]` may then look like another process. It is taken
for one only where no process in the same file with far more lines resembles it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from sparkctl.fabric.nccllog.rank import Channels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sparkctl.fabric.nccllog.rank import RankState

K = TypeVar("K")
V = TypeVar("V")

# How often a process must have as many lines as what is taken for torn lines of it: where its host
# is another process's too, where a host's beginning is missing or has text before it, and where
# other characters are missing or are there.
SHARED, ENDING, OTHER = 1, 2, 8
FEW = 3  # lines, more of which are not torn in the same way


def whole(
    states: Iterable[RankState], start: Callable[[RankState], tuple[int, ...]]
) -> list[RankState]:
    """The processes, each with what its torn lines show; lines of nobody are left out.

    `start` gives the number of a process's start: lines are of a process of the same start.
    """
    kept: list[RankState] = []
    states = list(states)
    numbers = {str(number) for state in states for number in (state.pid, *state.threads)}
    hosts = Counter(host for host, _ in {(state.host, state.pid) for state in states})
    # A number is the pid of a process before which the host is missing.
    nameless = {id(state) for state in states if not state.host or state.host in numbers}
    for state in sorted(states, key=lambda s: (id(s) in nameless, -s.count, -hosts[s.host])):
        same = [other for other in kept if start(state) == start(other)]
        if id(state) in nameless:
            owners = [other for other in same if _left_of(state, other)]
        else:
            alone = hosts[state.host] == 1
            owners = [o for o in same if _torn_from(state, o, alone and hosts[o.host] > 1)]
        if len(owners) == 1:
            absorb(owners[0], state)
        elif not owners and id(state) not in nameless:
            kept.append(state)
    return kept


def absorb(state: RankState, torn: RankState) -> None:
    """Add to a process what later or torn lines of it show."""
    state.count += torn.count
    state.threads |= torn.threads
    state.origins |= torn.origins
    state.retrying = torn.retrying or (None if torn.connected else state.retrying)
    state.version = state.version or torn.version
    state.local = state.local or torn.local
    state.folded = state.folded or torn.folded
    if torn.size > state.size:
        state.rank, state.size = torn.rank, torn.size
    state.nodes = max(state.nodes, torn.nodes)
    state.communicators |= torn.communicators
    _fill(state.devices, torn.devices)
    _fill(state.interfaces, torn.interfaces)
    _fill(state.networks, torn.networks)
    _fill(state.settings, torn.settings)
    _fill(state.faults, torn.faults)
    for key, channels in torn.channels.items():
        state.channels.setdefault(key, Channels(0, channels.first)).count += channels.count
    for mark, lines in torn.marks.items():
        for line in lines:
            state.mark(mark, line)
    for file, (first, last) in torn.spans.items():
        start, end = state.spans.get(file, (first, last))
        state.spans[file] = (min(start, first), max(end, last))


def _fill(table: dict[K, V], other: dict[K, V]) -> None:
    for key, value in other.items():
        table.setdefault(key, value)


def _left_of(torn: RankState, other: RankState) -> bool:
    """Whether lines without a host are of a process, by their pid or as the file's only one."""
    return torn.spans.keys() <= other.spans.keys() and torn.pid in (other.pid, 0)


def _torn_from(torn: RankState, other: RankState, shared: bool) -> bool:
    """Whether some lines are torn lines of another process; `shared`: its host is another's too."""
    if not torn.spans.keys() <= other.spans.keys() or _distinct(torn, other):
        return False
    if torn.pid == other.pid and _ends_alike(torn.host, other.host):
        return other.count >= (SHARED if shared else ENDING) * torn.count
    if not other.informs or torn.count > FEW:
        return False
    known = bool(torn.threads & {other.pid, *other.threads})
    if torn.pid == other.pid:
        return other.count >= (ENDING if shared and known else OTHER) * torn.count
    sure = ENDING if known and torn.host == other.host else OTHER
    return (
        other.count >= sure * torn.count
        and _part(str(torn.pid), str(other.pid))
        and (torn.host == other.host or (known and _part(torn.host, other.host)))
    )


def _distinct(one: RankState, other: RankState) -> bool:
    """Whether they are two ranks of one communicator, or two processes by Ray's prefixes."""
    if one.origins and other.origins and not one.origins & other.origins:
        return True
    return one.rank != other.rank and bool(one.communicators & other.communicators)


def _ends_alike(one: str, other: str) -> bool:
    return one.endswith(other) or other.endswith(one)


def _part(one: str, other: str) -> bool:
    """Whether one is what is left of the other if characters are missing."""
    short, long = sorted((one, other), key=len)
    left = iter(long)
    return all(character in left for character in short)
