"""The doctor on a lab, in this process: its findings, and the facts behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkctl.cli.context import open_session
from sparkctl.doctor.collect import collect
from sparkctl.doctor.runner import choose_checks, evaluate, sources

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.doctor.looks import Generation
    from sparkctl.doctor.snapshot import Snapshot

Wrong = set[tuple[str, str | None, str]]
# The facts that change by themselves.
MOVING = ("time", "time_end", "memory", "gpu", "counters")


def examine(
    inventory: Path, skip: Sequence[str] = ("runtime.imports",), *, passive: bool = False
) -> tuple[Wrong, Snapshot]:
    """(check, node, severity) of each FAIL, WARN and CRASH, and the snapshot."""
    checks = choose_checks(skip=skip)
    with open_session(inventory, read_only=True, partial=True) as session:
        snapshot = collect(session, session.inventory.nodes, sources(checks), passive=passive)
    found = evaluate(snapshot, checks)
    wrong = {(f.check, f.node, f.severity.value) for f in found}
    return {w for w in wrong if w[2] in ("FAIL", "WARN", "CRASH")}, snapshot


def generation(view: Snapshot) -> Generation:
    """What the head's API answered."""
    return view.seen(view.looks.generation, "spark-1")


def lasting(snapshot: Snapshot) -> dict[str, Any]:
    """The facts that do not change by themselves, by node.

    For some seconds after a link is up, the kernel's operstate and IPv6 address lag behind.
    """
    found = {}
    for name, facts in snapshot.all_facts.items():
        shown = facts.model_dump(exclude={*MOVING})
        found[name] = shown
        late = {"operstate": None, "ipv6": None}
        found[name]["net"] = {i: {**n, **late} for i, n in shown["net"].items()}
        found[name]["disk"] = {k: v["total"] for k, v in shown["disk"].items()}
    return found
