"""The doctor on a lab, in this process: its findings, and the facts behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkctl.cli.context import open_session
from sparkctl.doctor.collect import collect
from sparkctl.doctor.runner import choose_checks, evaluate, sources

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.doctor.snapshot import View

Wrong = set[tuple[str, str | None, str]]
# The facts that change by themselves.
MOVING = ("time", "time_end", "memory", "gpu", "counters")


def examine(
    inventory: Path, skip: Sequence[str] = ("runtime.imports",), *, passive: bool = False
) -> tuple[Wrong, View]:
    """(check, node, severity) of each FAIL, WARN and CRASH, and the view."""
    checks = choose_checks(skip=skip)
    with open_session(inventory, read_only=True, partial=True) as session:
        view = collect(session, session.inventory.nodes, sources(checks), passive=passive)
    found = evaluate(view, checks)
    wrong = {(f.check, f.node, f.severity.value) for f in found}
    return {w for w in wrong if w[2] in ("FAIL", "WARN", "CRASH")}, view


def lasting(view: View) -> dict[str, Any]:
    """The facts that do not change by themselves, by node.

    For some seconds after a link is up, the kernel's operstate and IPv6 address lag behind.
    """
    found = {}
    for name, facts in view.all_facts.items():
        shown = facts.model_dump(exclude={*MOVING})
        found[name] = shown
        late = {"operstate": None, "ipv6": None}
        found[name]["net"] = {i: {**n, **late} for i, n in shown["net"].items()}
        found[name]["disk"] = {k: v["total"] for k, v in shown["disk"].items()}
    return found
