"""Applying faults to the lab's nodes, and healing them."""

from __future__ import annotations

import difflib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sparkctl.errors import SparkctlError, UsageError
from sparkctl.lab.faults import journal, settled
from sparkctl.lab.faults.journal import Active, Undo
from sparkctl.lab.faults.needs import require
from sparkctl.lab.faults.table import FAULTS
from sparkctl.lab.faults.takeback import take_back
from sparkctl.lab.faults.target import Target
from sparkctl.lab.inside import Inside
from sparkctl.lab.lab import Lab, find
from sparkctl.lab.lock import exclusive
from sparkctl.lab.processes import inits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sparkctl.lab.faults.fault import Fault


def inject(base: Path, name: str, node: str | None = None) -> Active:
    """Apply a fault to a node, its default one if None; it is in effect on return.

    Undone when it fails half-way. Raises UsageError for a lab, fault or node that is not there,
    SparkctlError when the fault is active or cannot be.
    """
    fault = named(name)
    with _held(base) as (lab, nodes):
        where = node or fault.node
        if where not in {n.name for n in lab.nodes}:
            known = ", ".join(n.name for n in lab.nodes)
            raise UsageError(f"the lab has no node {where}", hint=f"its nodes are {known}")
        if where not in nodes:
            raise SparkctlError(
                f"the lab has lost {where}",
                hint=f"`sparkctl lab down --dir {lab.base}`, then up again",
            )
        active = journal.read(lab.base)
        _refuse_clash(lab.base, fault, where, active)
        entry = Active(name, where)
        active.append(entry)

        def remember(undo: Undo) -> None:
            entry.undo.append(undo)
            journal.write(lab.base, active)

        target = Target(lab, nodes[where], name, remember)
        require(fault.needs, target)
        try:
            target.change(f"mkdir {target.folder}", f"rm -rf {target.folder}")
            fault.apply(target)
            settled.wait(list(nodes.values()))
        except BaseException:
            take_back(lab, nodes, active, [entry], cut_short=True)
            raise
    return entry


def heal(base: Path, name: str | None = None) -> list[Active]:
    """Undo a fault wherever it is active, or all of them, the last first; gives which.

    Raises SparkctlError when it is not active, or a part of it cannot be undone, which stays.
    """
    if name is not None:
        named(name)
    with _held(base) as (lab, nodes):
        active = journal.read(lab.base)
        wanted = [a for a in reversed(active) if name in (None, a.fault)]
        if name is not None and not wanted:
            listed = ", ".join(f"{a.fault} on {a.node}" for a in active) or "none"
            raise SparkctlError(f"{name} is not active", hint=f"active: {listed}")
        take_back(lab, nodes, active, wanted)
        settled.wait(list(nodes.values()))
    return wanted


def overview(base: Path) -> list[dict[str, Any]]:
    """Every fault as JSON: name, happens, node (the default), needs, active (on which nodes)."""
    lab = find(base)
    active = journal.read(lab.base) if lab else []
    return [
        {
            "name": f.name,
            "happens": f.happens,
            "node": f.node,
            "needs": f.needs,
            "active": [a.node for a in active if a.fault == f.name],
        }
        for f in FAULTS.values()
    ]


def named(name: str) -> Fault:
    """The fault of that name; raises UsageError."""
    if name not in FAULTS:
        near = difflib.get_close_matches(name, FAULTS, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "`sparkctl lab faults` lists them"
        raise UsageError(f"there is no fault {name}", hint=hint)
    return FAULTS[name]


@contextmanager
def _held(base: Path) -> Iterator[tuple[Lab, dict[str, Inside]]]:
    """The lab and its running nodes, for this command alone."""
    if find(base):
        with exclusive(base.resolve(), create=False):
            if lab := find(base):  # it goes only by who holds it
                pids = inits(lab.nodes)
                yield lab, {n.name: Inside(n, pids[n.name]) for n in lab.nodes if n.name in pids}
                return
    raise UsageError(f"no lab is up in {base}", hint=f"`sparkctl lab up --dir {base}`")


def _refuse_clash(base: Path, fault: Fault, where: str, active: Iterable[Active]) -> None:
    for other in active:
        hint = f"first: `sparkctl lab heal {other.fault} --dir {base}`"
        same = other.node == where
        if other.fault == fault.name and same:
            raise SparkctlError(f"{fault.name} is active on {where} already", hint=hint)
        if place := fault.shared(FAULTS[other.fault], same_node=same):
            raise SparkctlError(
                f"{fault.name} and {other.fault}, active on {other.node}, both change: {place}",
                hint=hint,
            )
