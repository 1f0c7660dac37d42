"""The tables of a status: its nodes, its services and, with `-o wide`, its units."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.ages import age
from sparkctl.operations.servicestatus import worst
from sparkctl.output.table import KEPT, Column, filled

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sparkctl.operations.servicestatus import ServiceStatus
    from sparkctl.operations.status import NodeStatus, Status
    from sparkctl.operations.unitstatus import UnitStatus

BEGIN = "starting"  # the stage before an engine's first one
STATES = {
    "ready": "green",
    "starting": "yellow",
    "absent": "dim",
    **dict.fromkeys(("failed", "unread", "unreachable", "unreadable"), "red"),
}


def node_columns(status: Status, now: float) -> list[Column]:
    """The nodes, with the state of what each runs; `now` is in seconds since the epoch."""
    nodes = status.nodes
    since = [min((p.since for p in node.processes), default=None) for node in nodes]
    services = [n.service for n in nodes]
    several = Column("SERVICE", filled(s or None for s in services), 7)
    ray = Column("RAY", filled(_ray(status, n) for n in nodes), 2)
    return [
        Column("NODE", [n.name for n in nodes], KEPT),
        Column("STATE", [_state(status, n) for n in nodes], KEPT, styles=STATES),
        *([several] if len({*services}) > 1 else ()),
        Column("ROLE", filled(n.role or None for n in nodes), 4),
        Column("RANKS", filled(n.ranks for n in nodes), 3),
        Column("AGE", _ages(since, now), 6),
        *([ray] if any(map(status.uses_ray, nodes)) else ()),
        Column("MEMORY FREE", filled((n.memory_available for n in nodes), _memory), 5),
        Column("FABRIC", filled(n.fabric_address for n in nodes), 1),
        Column("HOST", [n.host for n in nodes], 0, hidden=True),
        Column("GPU", filled(n.gpu for n in nodes), 0, hidden=True),
    ]


def service_columns(services: Iterable[ServiceStatus], now: float) -> list[Column]:
    """The services: where each is served, or how far its start is."""
    found = list(services)
    stage = Column("STAGE", filled(_stage(s.start) if s.start else None for s in found), KEPT)
    by = Column("STARTED BY", filled((s.start.who or None) if s.start else None for s in found), 0)
    starting = any(s.start for s in found)
    return [
        Column("SERVICE", [s.name for s in found], KEPT),
        Column("STATE", [s.state for s in found], KEPT, styles=STATES),
        *([stage] if starting else ()),
        Column("AGE", _ages((_since(s) for s in found), now), 3),
        Column("ENDPOINT", [s.endpoint for s in found], KEPT),
        Column("MODEL", [_models(s) for s in found], KEPT),
        Column("ENGINE", filled(_engine(s) or None for s in found), 2),
        *([by] if starting else ()),
    ]


def unit_columns(units: Sequence[UnitStatus], now: float) -> list[Column]:
    """Units by their ids, which `logs` takes."""
    return [
        Column("UNIT", [u.id for u in units], KEPT),
        Column("STATE", [u.state for u in units], KEPT, styles=STATES),
        Column("RANKS", [str(u.ranks) for u in units], 1),
        Column("AGE", _ages((u.since for u in units), now), 3),
        *_if_any("STAGE", [_stage(u) for u in units], 2),
        Column("RUN", filled(u.run or None for u in units), 0, hidden=True),
        Column("STARTED BY", filled(u.who or None for u in units), 0, hidden=True),
        *_if_any("IMAGE", [u.image for u in units], 0, hidden=True),
        Column("PIDS", filled(_pids(u) for u in units), 0, hidden=True, prose=True),
    ]


def _if_any(
    title: str, values: Sequence[str | None], rank: int, *, hidden: bool = False
) -> list[Column]:
    """A column, unless it would be empty."""
    return [Column(title, filled(values), rank, hidden)] if any(values) else []


def _state(status: Status, node: NodeStatus) -> str:
    if node.error:
        return "unreadable" if node.reached else "unreachable"
    units = status.units_of(node)
    return worst(units) if units or node.service else "-"


def _ray(status: Status, node: NodeStatus) -> str | None:
    return node.ray if node.error is None and status.uses_ray(node) else None


def _ages(since: Iterable[float | None], now: float) -> list[str]:
    return filled(since, lambda moment: age(now - moment))


def _since(service: ServiceStatus) -> float | None:
    if service.start:
        return service.start.since
    return service.api.since if service.api else None


def _stage(unit: UnitStatus) -> str | None:
    """How far its start is; None before the engine's first stage."""
    return unit.doing or None if unit.stage not in (None, BEGIN) else None


def _models(service: ServiceStatus) -> str:
    answer = service.api.answer if service.api else None
    return ", ".join(answer.models or ()) if answer and answer.models else service.model


def _engine(service: ServiceStatus) -> str:
    """Its title with its version, which SGLang's API does not have."""
    answer = service.api.answer if service.api else None
    return f"{service.engine} {(answer.version if answer else None) or ''}".strip()


def _pids(unit: UnitStatus) -> str | None:
    return " ".join(map(str, unit.pids)) or None


def _memory(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
