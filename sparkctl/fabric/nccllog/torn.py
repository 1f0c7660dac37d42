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
    from collections.abc import Iterable, Sequence

    from sparkctl.fabric.nccllog.rank import RankState

K = TypeVar("K")
V = TypeVar("V")

# How often a process must have as many lines as what is taken for torn lines of it: where a host's
# beginning is missing or has text before it, and where other characters are missing or are there.
ENDING, OTHER = 2, 8
FEW = 3  # lines, more of which are not torn in the same way


def whole(states: Sequence[RankState]) -> list[RankState]:
    """The processes, each with what its torn lines show; lines of nobody are left out."""
    kept: list[RankState] = []
    numbers = {str(number) for state in states for number in (state.pid, *state.threads)}
    # A number is the pid of a process before which the host is missing.
    nameless = {id(state) for state in states if not state.host or state.host in numbers}
    hosts = Counter(host for host, _ in {(state.host, state.pid) for state in states})
    for state in sorted(
        states, key=lambda s: (id(s) in nameless, -s.count, -hosts[s.host], -len(s.host))
    ):
        same = [other for other in kept if _near(state, other)]
        if id(state) in nameless:
            owners = [other for other in same if state.pid in (other.pid, 0)]
        else:
            alone = hosts[state.host] == 1
            owners = [o for o in same if _torn_from(state, o, alone and hosts[o.host] > 1)]
        if len(owners) == 1:
            absorb(owners[0], state)
        elif not owners and id(state) not in nameless:
            _name(state, same)
            kept.append(state)
    return kept


def _near(torn: RankState, other: RankState) -> bool:
    """Whether lines may be of a process by their file and start, Ray's prefixes, and rank."""
    if not (torn.spans.keys() <= other.spans.keys() and one_start(torn, other)):
        return False
    if torn.origins and other.origins and not torn.origins & other.origins:
        return False
    return torn.rank == other.rank or not torn.communicators & other.communicators


def one_start(one: RankState, other: RankState) -> bool:
    """Whether two are of the same start in each file that has both."""
    return all(other.starts.get(file, number) == number for file, number in one.starts.items())


def _name(torn: RankState, others: Iterable[RankState]) -> None:
    """Name a process by the host of another, if its few lines have only what is left of that."""
    for other in others:
        if (
            other.informs
            and torn.count <= FEW
            and other.count >= ENDING * torn.count
            and _ends_alike(torn.host, other.host)
        ):
            torn.host = other.host
            return


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
    _fill(state.starts, torn.starts)
    for file, (first, last) in torn.spans.items():
        start, end = state.spans.get(file, (first, last))
        state.spans[file] = (min(start, first), max(end, last))


def _fill(table: dict[K, V], other: dict[K, V]) -> None:
    for key, value in other.items():
        table.setdefault(key, value)


def _torn_from(torn: RankState, other: RankState, shared: bool) -> bool:
    """Whether some lines are torn lines of another process; `shared`: its host is another's too."""
    if torn.pid == other.pid and _ends_alike(torn.host, other.host):
        return torn.count <= FEW or other.count >= ENDING * torn.count
    if not other.informs or torn.count > FEW:
        return False
    known = bool(torn.threads & {other.pid, *other.threads})
    if torn.pid == other.pid:
        return other.count >= (ENDING if shared and known else OTHER) * torn.count
    sure = ENDING if known and torn.host == other.host else OTHER
    return (
        torn.pid not in torn.threads  # a thread with the process's own id proves the pid
        and other.count >= sure * torn.count
        and _part(str(torn.pid), str(other.pid))
        and (torn.host == other.host or (known and _part(torn.host, other.host)))
    )


def _ends_alike(one: str, other: str) -> bool:
    return one.endswith(other) or other.endswith(one)


def _part(one: str, other: str) -> bool:
    """Whether one is what is left of the other if characters are missing."""
    short, long = sorted((one, other), key=len)
    left = iter(long)
    return all(character in left for character in short)
