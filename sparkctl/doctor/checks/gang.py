"""The units of an engine that says itself which ranks run where: each runs, with its members."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.doctor.checks.running import begun, not_running
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, unknown
from sparkctl.doctor.remedy import LOG, LOG_SHOWS, RESTART, Remedy
from sparkctl.doctor.starting import failed
from sparkctl.node.difference import unsound
from sparkctl.node.units import Running, Unread
from sparkctl.secret.text import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.node.units import Observed, Unit


def gang(snapshot: Snapshot) -> Iterator[Finding]:
    """Every unit of the service runs as it was started."""
    engine, started = snapshot.engine, snapshot.started
    observed = {u: one for u, one in snapshot.observed.observed(started).items() if u in started}
    gaps = [*_gaps(snapshot, {unit.node for unit in started.values()})]
    yield from gaps
    if not any(isinstance(one, (Running, Unread)) for one in observed.values()):
        if not gaps:
            yield not_running(snapshot, engine.kind, engine.title)
    elif found := broken(snapshot) or begun(snapshot, engine.kind, engine.title):
        yield found
    else:
        wrong = unsound(_as_recorded(started, observed), observed)
        for name, unit in started.items():
            yield _judged(unit, observed[name], wrong.get(name))


def _gaps(snapshot: Snapshot, judged: set[str]) -> Iterator[Finding]:
    """UNKNOWN for nodes that may have units which nobody else knows."""
    for name, reason in snapshot.observed.gaps.items():
        if name in snapshot.known and name not in judged:
            yield unknown(f"what runs is unknown: {reason}", node=name)


def _as_recorded(started: dict[str, Unit], observed: dict[str, Observed]) -> dict[str, Unit]:
    """The units with the digest that they run with: whether `up` would change them is not asked."""
    return {
        u: replace(unit, digest=one.digest) if isinstance(one := observed[u], Running) else unit
        for u, unit in started.items()
    }


def _judged(unit: Unit, seen: Observed, why: str | None) -> Finding:
    if isinstance(seen, Unread):
        text = f"whether {unit.title} runs is unknown: {seen.reason}"
        return unknown(text, node=unit.node, data={"unit": unit.id})
    pids = [str(p.pid) for p in seen.processes] if isinstance(seen, Running) else []
    if why is None:
        return ok(f"{unit.title} is running (pid {', '.join(pids)})", node=unit.node)
    return fail(
        f"{unit.title} ({unit.id}): {why}; the units of its group are restarted together",
        Evidence("a running unit", ", ".join(pids) or "none", "/proc"),
        Remedy(
            "restart the whole group; the log shows why it ended",
            (f"sparkctl logs {unit.id}", *RESTART),
        ),
        node=unit.node,
        code="unit-unsound",
        data={"unit": unit.id, "group": unit.group, "why": why, "pids": pids},
    )


def broken(snapshot: Snapshot) -> Finding | None:
    """FAIL for an engine whose log has a fatal line of its start, and that has not ended."""
    start = failed(snapshot)
    if start is None:
        return None
    found = start.seen
    remedy = found.known.text(snapshot.inventory.key) if found.known else LOG_SHOWS
    return fail(
        command_line(found.why, limit=300),
        Evidence("a start that goes on", found.title, start.record.log),
        Remedy(remedy, (LOG, "sparkctl up")),
        node=start.unit.node,
        code="start-failed",
        data={"run": start.record.run, "stage": found.stage, "cause": found.cause},
    )
