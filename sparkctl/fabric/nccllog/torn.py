"""Which processes of a log are torn lines of another, and what those lines add to it; pure.

Processes that share a pipe write into each other's lines, and a log that is cut or rotated begins
within one. What is left of `spark-1:684:684 [0]` may then look like another process. It is taken
for one only where no process in the same file with far more lines resembles it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sparkctl.fabric.nccllog.rank import RankState

# How often a process must have as many lines as what is taken for torn lines of it: where a host's
# beginning is missing or has text before it, and where other characters of it are.
ENDING, OTHER = 2, 8


def whole(
    states: Iterable[RankState], start: Callable[[RankState], tuple[int, ...]]
) -> list[RankState]:
    """The processes, each with what its torn lines show; lines of nobody are left out.

    `start` gives the number of a process's start: lines are of a process of the same start.
    """
    kept: list[RankState] = []
    for state in sorted(states, key=lambda s: (not s.host, -s.count)):
        owners = [
            other for other in kept if start(state) == start(other) and _torn_from(state, other)
        ]
        if len(owners) == 1:
            owners[0].absorb(state)
        elif state.host and not owners:
            kept.append(state)
    return kept


def _torn_from(torn: RankState, other: RankState) -> bool:
    """Whether some lines are torn lines of another process."""
    if not torn.spans.keys() <= other.spans.keys() or _distinct(torn, other):
        return False
    if not torn.host:
        return torn.pid in (other.pid, 0)
    if torn.pid == other.pid and _ends_alike(torn.host, other.host):
        return other.count >= ENDING * torn.count
    known = torn.threads & {other.pid, *other.threads}
    if not known or other.count < OTHER * torn.count:
        return False
    if torn.pid == other.pid:
        return _part(torn.host, other.host) or torn.host[-1] == other.host[-1]
    return _part(torn.host, other.host) and _part(str(torn.pid), str(other.pid))


def _distinct(one: RankState, other: RankState) -> bool:
    """Whether they are two ranks of one communicator."""
    return one.rank != other.rank and bool(one.communicators & other.communicators)


def _ends_alike(one: str, other: str) -> bool:
    return one.endswith(other) or other.endswith(one)


def _part(one: str, other: str) -> bool:
    """Whether one is what is left of the other if characters are missing."""
    short, long = sorted((one, other), key=len)
    left = iter(long)
    return all(character in left for character in short)
