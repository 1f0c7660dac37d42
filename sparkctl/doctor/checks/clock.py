"""The nodes' clocks: which one is off, by how much and in which direction."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from sparkctl.doctor.check import per_node
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.facts.unread import Missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.doctor.snapshot import Snapshot

SKEW_WARN, SKEW_FAIL = 2.0, 60.0  # seconds between two clocks
Bounds = tuple[float, float]  # of a clock minus the controller's, in seconds
HERE: Bounds = (0.0, 0.0)  # the controller's own
THIS = "this machine"
SHOWN = 3  # names of clocks that agree


def clock(snapshot: Snapshot) -> Iterator[Finding]:
    """Each node's clock agrees with the median of all, as exactly as the round trips show.

    If the number of nodes is even, the controller's clock counts too. A single node's clock is
    compared with no other. The controller's own deviation is an INFO.
    """
    clocks = _clocks(snapshot)
    reference = _median([*clocks.values()])
    yield from per_node(
        snapshot,
        lambda name: _skew(snapshot, name, clocks, reference if len(clocks) > 1 else None),
    )
    if abs(skew := _ahead(HERE, reference)) > SKEW_WARN:
        agree = [name for name, own in clocks.items() if abs(_ahead(own, reference)) <= SKEW_WARN]
        yield info(
            f"the clock of this machine is {_direction(skew)} {_names(agree)}",
            Evidence(f"within {SKEW_WARN:g} s", f"{skew:+.0f} s", "the time here and on the nodes"),
            code="controller-clock-off",
            data=_data(skew, agree),
        )


def _median(offsets: list[Bounds]) -> Bounds:
    """The middle clock; of an even number, after adding the controller's."""
    odd = offsets if len(offsets) % 2 else [*offsets, HERE]
    return sorted(odd, key=sum)[len(odd) // 2]


def _ahead(one: Bounds, other: Bounds) -> float:
    """By how many seconds one clock is at least ahead of the other; negative if it is behind."""
    return max(0.0, one[0] - other[1]) - max(0.0, other[0] - one[1])


def _direction(skew: float) -> str:
    return f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'}"


def _names(agree: list[str]) -> str:
    """Whose clocks agree, such as `spark-1 and this machine`."""
    if len(agree) > SHOWN:
        return f"{len(agree)} others, which agree"
    *first, last = agree
    return f"{', '.join(first)} and {last}" if first else last


def _data(skew: float, agree: list[str]) -> dict[str, float | str | list[str]]:
    direction = "ahead" if skew > 0 else "behind"
    seconds = round(abs(skew), 1)
    return {"expected": SKEW_WARN, "got": seconds, "direction": direction, "agree": agree}


def _skew(
    snapshot: Snapshot, name: str, clocks: Mapping[str, Bounds], reference: Bounds | None
) -> Iterator[Finding]:
    own = _offset(snapshot, name)
    if reference is None:
        return
    skew = _ahead(own, reference)
    if abs(skew) <= SKEW_WARN:
        yield ok(f"clock within {SKEW_WARN:g} s of the nodes' median", node=name)
        return
    agree = [
        other
        for other, its in {**clocks, THIS: HERE}.items()
        if other != name and abs(_ahead(its, reference)) <= SKEW_WARN
    ]
    alone = "; no two clocks agree" if len(agree) == 1 and len(clocks) > 1 else ""
    yield (fail if abs(skew) > SKEW_FAIL else warn)(
        f"clock is {_direction(skew)} {_names(agree)}{alone}",
        Evidence(f"within {SKEW_WARN:g} s of the median of all clocks", f"{skew:+.0f} s", "date"),
        Remedy(
            f"synchronize {'all nodes' if alone else name} by NTP",
            ("sudo timedatectl set-ntp true", "timedatectl status"),
        ),
        node=name,
        code="clock-off",
        data=_data(skew, agree),
    )


def _clocks(snapshot: Snapshot) -> dict[str, Bounds]:
    """The known ones by node, also of nodes that were not asked about."""
    found = {}
    for name in snapshot.reached:
        with suppress(Missing):
            found[name] = _offset(snapshot, name)
    return found


def _offset(snapshot: Snapshot, name: str) -> Bounds:
    """The bounds of a node's clock minus the controller's, in seconds."""
    found = snapshot.facts(name)
    if name not in snapshot.asked:
        raise Missing(f"the time of the request to {name} is not known", what="asked")
    before, after = snapshot.asked[name]
    return found.time_end - after, found.time - before
