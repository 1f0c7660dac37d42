"""The difference between the units that should run and those that do, and the plan to end it; pure.

A problem of one unit is one of its whole group, and of all that follow it. What cannot be read is
neither started nor stopped: it blocks the changes of its replica, and the plan says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sparkctl.node.unitid import replica_of, service_of
from sparkctl.node.units import ALONG, FAILED, RANK, STARTING, Absent, Running, Unread

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from sparkctl.node.units import Member, Observed, Process, Unit

DRAIN, STOP, START = "drain", "stop", "start"  # what a step does
WORDS = {"serve": "API server"}  # what users call a member


@dataclass(frozen=True)
class Change:
    """What is done to a unit, and why; `action` is start, restart or stop. `service` is the unit's
    where there are several, else empty.
    """

    unit: str
    node: str
    kind: str
    title: str
    action: str
    why: str
    service: str = ""

    def __str__(self) -> str:
        owner = f" of {self.service}" if self.service else ""
        return f"{self.action} {self.title}{owner} on {self.node}: {self.why}"


@dataclass(frozen=True)
class Blocked:
    """A change that is not made, as long as the unit `by` cannot be read."""

    change: Change
    by: str
    reason: str


@dataclass(frozen=True)
class Step:
    """`action` is drain (until no request runs, `seconds` at most), stop or start; of all `units`
    at once.
    """

    action: str
    units: tuple[str, ...]
    seconds: float = 0.0


@dataclass(frozen=True)
class Part:
    """The changes of one replica and the steps that make them, in order."""

    replica: str
    changes: tuple[Change, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Plan:
    """The parts that have changes, and what is blocked; `strategy` is together or rolling: the
    parts at once, or one after the other.
    """

    parts: tuple[Part, ...]
    blocked: tuple[Blocked, ...] = ()
    strategy: str = "together"

    def __bool__(self) -> bool:
        return bool(self.parts or self.blocked)

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes of all parts."""
        return tuple(change for part in self.parts for change in part.changes)

    def units(self, *actions: str) -> list[str]:
        """The units with a step of these actions (drain, stop, start), in the order of steps."""
        steps = [s for part in self.parts for s in part.steps if s.action in actions]
        return list(dict.fromkeys(unit for step in steps for unit in step.units))


def difference(
    desired: Mapping[str, Unit],
    observed: Mapping[str, Observed],
    *,
    recorded: Mapping[str, Unit] | None = None,
    unsound: Mapping[str, str] | None = None,
    changed: Mapping[str, str] | None = None,
    strategy: str = "together",
    named: bool = False,
) -> Plan:
    """The plan that turns what is observed into the desired units.

    `recorded` are the units as they were started: they say how to stop what is not desired any
    more. `unsound` (unit to why) has what only a look inside shows, `changed` words for a digest
    that differs and for what is not desired. `named`: the changes name their services.
    """
    every = {**(recorded or {}), **desired}
    reasons = _reasons(desired, observed, unsound or {}, changed or {}, recorded or {})
    surplus = {u: o for u, o in observed.items() if u not in desired and isinstance(o, Running)}
    reasons |= {u: (changed or {}).get(u, "no longer in the inventory") for u in surplus}
    unread = {u: o for u, o in observed.items() if isinstance(o, Unread)}
    parts, blocked = [], []
    for replica in dict.fromkeys(map(replica_of, [*desired, *surplus])):
        ids = [u for u in (*desired, *surplus) if replica_of(u) == replica and u in reasons]
        changes = [_change(u, every, observed, reasons[u], desired) for u in ids]
        if named:
            changes = [replace(c, service=service_of(c.unit)) for c in changes]
        by = next((u for u in unread if replica_of(u) == replica), None)
        if by is not None:
            blocked += [Blocked(c, by, unread[by].reason) for c in changes]
        elif changes:
            steps = _steps(ids, every, observed, desired)
            parts.append(Part(replica, tuple(changes), tuple(steps)))
    return Plan(tuple(parts), tuple(blocked), strategy)


def unsound(units: Mapping[str, Unit], observed: Mapping[str, Observed]) -> dict[str, str]:
    """Why units cannot be kept as they run, each for its own reason."""
    blind = {o.node for o in observed.values() if isinstance(o, Unread)}
    found = {u: _problem(unit, observed.get(u), None, blind, unit) for u, unit in units.items()}
    return {u: why for u, why in found.items() if why}


def _reasons(
    desired: Mapping[str, Unit],
    observed: Mapping[str, Observed],
    unsound: Mapping[str, str],
    changed: Mapping[str, str],
    started: Mapping[str, Unit],
) -> dict[str, str]:
    """Why each unit cannot be kept: for its own reason, with its group, or after what it needs."""
    blind = {o.node for o in observed.values() if isinstance(o, Unread)}
    found = {
        u: why
        for u, unit in desired.items()
        if (
            why := _problem(unit, observed.get(u), changed.get(u), blind, started.get(u))
            or unsound.get(u)
        )
        and not isinstance(observed.get(u), Unread)
    }
    while True:
        more = {
            u: f"{_named(desired[other])} is being {_done(other, observed)}"
            for u, unit in desired.items()
            if u not in found
            and not isinstance(observed.get(u), Unread)
            and (other := _drags(unit, desired, found))
        }
        if not more:
            return {u: found[u] for u in desired if u in found}
        found |= more


def _drags(unit: Unit, desired: Mapping[str, Unit], found: Mapping[str, str]) -> str | None:
    """A unit that takes this one with it: one that it follows, or one of its group."""
    followed = [need.unit for need in unit.needs if need.follows]
    group = [u for u, other in desired.items() if other.group == unit.group]
    return next((u for u in (*followed, *group) if u in found and u in desired), None)


def _problem(
    unit: Unit,
    seen: Observed | None,
    changed: str | None,
    blind: Collection[str],
    started: Unit | None,
) -> str | None:
    """Why a unit cannot be kept, which was `started` as that says; nothing is concluded of its
    members on `blind` nodes.
    """
    if seen is None or isinstance(seen, Absent):
        return "not running"
    if isinstance(seen, Unread):
        return None
    if seen.node != unit.node:
        return f"it runs on {seen.node}"
    if seen.phase == FAILED:
        return "its start failed"
    if started is not None and bool(started.program.inside) != bool(unit.program.inside):
        return "it is in a container" if started.program.inside else "it is in no container"
    if seen.digest != unit.digest:  # its members are not those that it was started with
        return changed or "its settings changed"
    for member in unit.members:
        early = seen.phase == STARTING and (unit.program.ends or member.what == RANK)
        # Where no rank is recognized at all, its title is unknown, which proves nothing.
        hidden = member.what == RANK and not any(p.rank for p in seen.processes)
        # What it was not started with did not die.
        new = seen.digest != unit.digest and started and member not in started.members
        if early or hidden or new or member.node in blind:
            continue
        alive = sum(map(_matches(member), seen.processes))
        if alive < member.count:
            where = "" if member.node == unit.node else f" on {member.node}"
            return f"its {WORDS.get(member.what, member.what)}{where} died"
    return None


def _matches(member: Member) -> Callable[[Process], bool]:
    def matches(process: Process) -> bool:
        if process.node != member.node:
            return False
        if member.what == RANK:
            return process.rank
        words = process.command.split()
        return bool(words) and (
            words[0].rpartition("/")[2] == member.what or member.what in words[1:]
        )

    return matches


def _named(unit: Unit) -> str:
    return f"{unit.title} on {unit.node}"


def _done(unit: str, observed: Mapping[str, Observed]) -> str:
    return "restarted" if isinstance(observed.get(unit), Running) else "started"


def _change(
    u: str,
    every: Mapping[str, Unit],
    observed: Mapping[str, Observed],
    why: str,
    desired: Mapping[str, Unit],
) -> Change:
    runs = isinstance(observed.get(u), Running)
    action = ("restart" if runs else "start") if u in desired else "stop"
    unit = every.get(u)
    if unit is None:  # it runs without a record: its id says where and what
        _, _, kind, node = u.split("/", 3)
        return Change(u, node, kind, kind, action, why)
    return Change(u, unit.node, unit.kind, unit.title, action, why)


def _steps(
    ids: Sequence[str],
    every: Mapping[str, Unit],
    observed: Mapping[str, Observed],
    desired: Mapping[str, Unit],
) -> Iterator[Step]:
    """Drains and stops, dependents first; then starts, each after or along with what it needs."""
    ending = [u for u in ids if isinstance(observed.get(u), Running)]
    for wave in reversed(waves(ending, every)):
        seconds = max((every[u].stop.drain for u in wave if u in every), default=0.0)
        if seconds:
            draining = tuple(u for u in wave if u in every and every[u].stop.drain)
            yield Step(DRAIN, draining, seconds)
        yield Step(STOP, tuple(wave))
    for wave in waves([u for u in ids if u in desired], every, along=True):
        yield Step(START, tuple(wave))


def waves(ids: Sequence[str], every: Mapping[str, Unit], *, along: bool = False) -> list[list[str]]:
    """These units in waves: each needs only units of earlier waves, or none of these.

    With `along` a need of that kind is none. Raises ValueError for units that need each other.
    """
    left, found = list(ids), []
    while left:
        free = [u for u in left if not _needs(every.get(u), along=along) & {*left}]
        if not free:
            raise ValueError(f"{', '.join(left)} need each other")
        found.append(free)
        left = [u for u in left if u not in free]
    return found


def _needs(unit: Unit | None, *, along: bool) -> set[str]:
    needs = unit.needs if unit else ()
    return {need.unit for need in needs if need.until != ALONG or not along}
