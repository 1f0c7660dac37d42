"""Which checks concern a service: by its units, as they were started and as the inventory gives
them, and by what the row of its engine says; pure.

Each function is about what a check requires, and returns what the service of a snapshot lacks of
it, for people; empty where it lacks nothing (Check.lacks).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.node.units import RANK, Generates, RayNodes, RayRanks

if TYPE_CHECKING:
    from sparkctl.doctor.snapshot import Snapshot


def always(_snapshot: Snapshot) -> str:
    """Whatever the engine is."""
    return ""


def ray(snapshot: Snapshot) -> str:
    """Units that wait for Ray's nodes."""
    return _lacks(snapshot, "does not use Ray", has=has(snapshot, RayNodes))


def api(snapshot: Snapshot) -> str:
    """A unit with an API that completes requests."""
    return _lacks(snapshot, "has no API", has=has(snapshot, Generates))


def ranks(snapshot: Snapshot) -> str:
    """Units with processes that are known as ranks (node/ranks.py)."""
    known = any(m.what == RANK for unit in snapshot.units for m in unit.members)
    what = "has no processes that are known as ranks"
    return _lacks(snapshot, what, has=known or has(snapshot, RayRanks))


def steps(snapshot: Snapshot) -> str:
    """An engine that shows its steps."""
    return _lacks(snapshot, "does not show engine steps", has=snapshot.engine.judged.steps)


def modules(snapshot: Snapshot) -> str:
    """An engine that the runtime imports."""
    return _lacks(snapshot, "imports nothing", has=bool(snapshot.engine.judged.modules))


def packages(snapshot: Snapshot) -> str:
    """An engine of packages in the runtime."""
    return _lacks(snapshot, "requires no packages", has=bool(snapshot.engine.judged.packages))


def memory(snapshot: Snapshot) -> str:
    """An engine that claims a share of the memory."""
    found = snapshot.engine.judged.memory
    return _lacks(snapshot, "claims no share of the memory", has=found is not None)


def checkpoint(snapshot: Snapshot) -> str:
    """An engine whose model is a checkpoint."""
    return _lacks(snapshot, "loads no checkpoint", has=snapshot.engine.judged.checkpoint)


def recipes(snapshot: Snapshot) -> str:
    """An engine with recipes."""
    return _lacks(snapshot, "has no recipes", has=snapshot.engine.judged.recipes)


def container(snapshot: Snapshot) -> str:
    """A service that runs in containers."""
    return _lacks(snapshot, "does not run in a container", has=snapshot.contained)


def host(snapshot: Snapshot) -> str:
    """A service whose programs have the host's libraries and files, and a login's limits."""
    what = "runs in a container, which is judged inside"
    return _lacks(snapshot, what, has=not snapshot.contained)


def has(snapshot: Snapshot, ready: type) -> bool:
    """Whether a unit of the service becomes ready in this way."""
    return any(isinstance(one, ready) for unit in snapshot.units for one in unit.ready)


def _lacks(snapshot: Snapshot, what: str, *, has: bool) -> str:
    return "" if has else f"{snapshot.engine.title} {what}"
