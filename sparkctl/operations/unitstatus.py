"""The units as status shows them: what was started, whether it runs, and whether it is sound."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from sparkctl.node.difference import unsound
from sparkctl.node.unitid import is_unit, kind_of, node_of, service_of
from sparkctl.node.units import CONTAINER, FAILED, READY, STARTING, Absent, Running, Unread
from sparkctl.operations.starting import Startup, stages_of
from sparkctl.plan.outline import outline
from sparkctl.runtimes.container import image

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from sparkctl.facts.processes import OurProcess
    from sparkctl.inventory.models import Inventory
    from sparkctl.node.units import Observed, Unit
    from sparkctl.plan.observed import Seen
    from sparkctl.plan.record import Record

    # A unit that was recorded as starting, and whether it lives, to how far it has come.
    Look = Callable[[str, Record, bool], Startup]

# Part of the contract that scripts rely on.
UnitState = Literal["starting", "ready", "failed", "absent", "unread"]


PENDING = "not started; run `sparkctl up`"


@dataclass(frozen=True)
class UnitStatus:
    """A unit: `since` is in seconds since the epoch, `pids` and `ranks` are its own processes'.

    `why` it failed, is absent or unread; `cause` is a known failure's code. `stage` is an id,
    `doing` what people read of it. `image` is what a container was started from. `pending`: it is
    absent because the inventory has it since the last `up`. `follows`: the unit of its group for
    which it has failed.
    """

    id: str
    service: str
    node: str
    kind: str
    title: str
    state: UnitState
    why: str = ""
    cause: str | None = None
    run: str = ""
    who: str = ""
    since: float | None = None
    pids: tuple[int, ...] = ()
    ranks: int = 0
    stage: str | None = None
    percent: int | None = None
    doing: str = ""
    image: str | None = None
    pending: bool = False
    follows: str = ""


def statuses(seen: Seen, look: Look, locked: Collection[str] = ()) -> list[UnitStatus]:
    """Every unit that was started or runs, in the order of nodes, and those that they need.

    `look` reads how far a start has come; on `locked` nodes another command may be starting it.
    """
    # The oldest records had an entry of a program that the node does not run.
    runs = {u for found in seen.processes.values() for u, _ in found}
    known = {u: r for u, r in seen.records.items() if is_unit(u) and (r.unit or u in runs)}
    units = {u: r.unit for u, r in known.items() if r.unit and r.unit.id == u}
    observed = {u: o for u, o in seen.observed(units).items() if is_unit(u)}
    needed = [n.unit for unit in units.values() for n in unit.needs if is_unit(n.unit)]
    found = []
    for name in dict.fromkeys([*known, *observed, *needed]):
        node = node_of(name)
        one = observed.get(name) or _not_observed(seen, node)
        own = [p for u, p in seen.processes.get(node, ()) if u == name]
        base = _basic(name, units.get(name), known.get(name), one, own)
        judged = _Judge(units, observed, seen.gaps, look, locked)
        found.append(judged.of(base, one, known.get(name), own))
    return _with_groups(found, units)


def missing(
    inventory: Inventory, seen: Seen, found: Collection[UnitStatus], locked: Collection[str] = ()
) -> list[UnitStatus]:
    """The inventory's units that are not `found`: unread where their node could not be read, absent
    where others of their service run, or pending. On `locked` nodes another command may be about to
    start them.
    """
    known, running = {u.id for u in found}, {u.service for u in found if u.pids}
    units = [unit for view in inventory.views for unit in outline(view).values()]
    lost = []
    for unit in (unit for unit in units if unit.id not in known):
        one = _not_observed(seen, unit.node)
        base = _basic(unit.id, unit, None, one, [])
        if isinstance(one, Unread):
            lost.append(replace(base, why=one.reason))
        elif base.service in running and unit.node not in locked:
            pending = _is_pending(seen, base)
            why = PENDING if pending else "not running"
            lost.append(replace(base, why=why, pending=pending))
    return lost


def _is_pending(seen: Seen, unit: UnitStatus) -> bool:
    """Whether no `up` has known its node, or one had another service there: no node has two."""
    recorded = {name for state in seen.states.values() for name in state.nodes}
    there = {service_of(other) for other in seen.states[unit.node].units}
    return bool(recorded) and (unit.node not in recorded or bool(there - {unit.service}))


def _not_observed(seen: Seen, node: str) -> Observed:
    if node in seen.processes:
        return Absent(node)
    return Unread(node, seen.gaps.get(node, "the node is not in the inventory"))


def _basic(
    name: str, unit: Unit | None, record: Record | None, seen: Observed, own: list[OurProcess]
) -> UnitStatus:
    """What is known of it before it is judged."""
    kind = kind_of(name)
    runs = isinstance(seen, Running)
    return UnitStatus(
        id=name,
        service=service_of(name),
        node=node_of(name),
        kind=kind,
        title=unit.title if unit else kind,
        state="ready" if runs else "unread" if isinstance(seen, Unread) else "absent",
        run=record.run if record else own[0].run if own else "",
        who=record.who if record else "",
        since=min((p.since for p in own), default=(record.since or None) if record else None),
        pids=tuple(p.pid for p in own),
        ranks=sum(p.rank for p in own),
        image=image(unit.program.argv) if record and unit and kind == CONTAINER else None,
    )


@dataclass(frozen=True)
class _Judge:
    units: Mapping[str, Unit]
    observed: Mapping[str, Observed]
    gaps: Mapping[str, str]
    look: Look
    locked: Collection[str]

    def of(
        self, found: UnitStatus, seen: Observed, record: Record | None, own: Iterable[OurProcess]
    ) -> UnitStatus:
        """The unit with its state, and why."""
        if isinstance(seen, Unread):
            return replace(found, why=seen.reason)
        if record and record.phase == FAILED:
            return replace(found, state="failed", why="its start failed")
        lives = any(own)
        if record and record.phase == STARTING:
            return self._starting(found, record, lives=lives)
        if not lives:
            return replace(found, why="not running")
        why = self._unsound(found.id)
        return replace(found, state="failed", why=why) if why else found

    def _starting(self, found: UnitStatus, record: Record, *, lives: bool) -> UnitStatus:
        if not lives and not record.pid and found.node in self.locked:
            return replace(found, state="starting")
        why = self._unsound(found.id) if lives else ""
        if stages_of(record.unit) is None:
            if not lives:
                return replace(found, state="failed", why="its program ended during startup")
            # Its members live from when it is ready on, so that it needs nobody's note.
            return replace(found, state="starting" if why else "ready")
        start = self.look(found.id, record, lives)
        if start.state == "ready":
            return replace(found, state="failed", why=why) if why else found
        return replace(
            found,
            state=start.state,
            why=start.why or start.unread,
            cause=start.cause,
            stage=start.stage or None,
            percent=start.percent,
            doing=str(start),
        )

    def _unsound(self, name: str) -> str:
        """Why it is not sound as it runs, as if its start were over; empty where it is."""
        observed = {
            u: replace(o, phase=READY) if isinstance(o, Running) else o
            for u, o in self.observed.items()
        }
        observed |= {node: Unread(node, why) for node, why in self.gaps.items()}
        unit, one = self.units.get(name), observed.get(name)
        if unit is None or not isinstance(one, Running):
            return ""
        # What it was started with is what it runs with: nothing changed by then.
        recorded = {name: replace(unit, digest=one.digest)}
        return unsound(recorded, observed).get(name, "")


def _with_groups(found: list[UnitStatus], units: Mapping[str, Unit]) -> list[UnitStatus]:
    """A unit whose group has lost another is not sound either."""
    lost = {
        units[s.id].group: s
        for s in found
        if s.id in units and s.state in ("failed", "absent") and units[s.id].group
    }

    def of(status: UnitStatus) -> UnitStatus:
        other = lost.get(units[status.id].group) if status.id in units else None
        if other is None or status.state != "ready":
            return status
        why = f"{other.title} on {other.node}: {other.why}"
        return replace(status, state="failed", why=why, follows=other.id)

    return [of(status) for status in found]
