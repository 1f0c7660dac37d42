"""Applying faults to the lab's nodes, and healing them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from sparkctl.errors import SparkctlError, UsageError
from sparkctl.lab.faults import journal, settled
from sparkctl.lab.faults.fault import Fault
from sparkctl.lab.faults.journal import LAB, Active, Undo
from sparkctl.lab.faults.needs import require
from sparkctl.lab.faults.table import FAULTS
from sparkctl.lab.faults.target import MARK, Target
from sparkctl.lab.inside import Inside, run
from sparkctl.lab.lab import Lab, find
from sparkctl.lab.lock import exclusive
from sparkctl.lab.processes import end, inits, processes


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
        _refuse_clash(fault, where, active)
        entry = Active(name, where)
        active.append(entry)

        def remember(undo: Undo) -> None:
            entry.undo.append(undo)
            journal.write(lab.base, active)

        target = Target(lab, nodes[where], name, remember)
        require(fault.needs, target)
        try:
            target.change(f"mkdir -p {target.folder}", f"rm -rf {target.folder}")
            fault.apply(target)
            settled.wait(list(nodes.values()))
        except BaseException:
            _forget(lab, nodes, active, [entry], tolerant=True)
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
        _forget(lab, nodes, active, wanted, tolerant=False)
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
    if find(base) is None:
        raise UsageError(f"no lab is up in {base}", hint="`sparkctl lab up`")
    with exclusive(base.resolve(), create=False):
        lab = find(base)
        assert lab is not None  # it goes only by who holds it
        pids = inits(lab.nodes)
        yield lab, {n.name: Inside(n, pids[n.name]) for n in lab.nodes if n.name in pids}


def _refuse_clash(fault: Fault, where: str, active: Iterable[Active]) -> None:
    for other in active:
        same = other.node == where
        if other.fault == fault.name and same:
            raise SparkctlError(
                f"{fault.name} is active on {where} already",
                hint=f"`sparkctl lab heal {fault.name}` first",
            )
        if place := fault.shared(FAULTS[other.fault], same_node=same):
            raise SparkctlError(
                f"{fault.name} and {other.fault}, active on {other.node}, both change: {place}",
                hint=f"`sparkctl lab heal {other.fault}` first",
            )


def _forget(
    lab: Lab, nodes: dict[str, Inside], active: list[Active], wanted: list[Active], *, tolerant: bool
) -> None:
    """Undo these, and strike each part off the journal that is undone."""
    failed: list[SparkctlError] = []
    for entry in wanted:
        try:
            end(_started_by(lab, entry))
            while entry.undo:
                _perform(nodes, entry.undo[-1], tolerant=tolerant)
                entry.undo.pop()
                journal.write(lab.base, active)
        except SparkctlError as error:
            failed.append(error)
            continue
        active.remove(entry)
        journal.write(lab.base, active)
    if failed:
        raise SparkctlError(
            "not all is healed: " + "; ".join(str(e) for e in failed),
            hint=f"`sparkctl lab down --dir {lab.base}`, then up again",
        )


def _perform(nodes: dict[str, Inside], undo: Undo, *, tolerant: bool) -> None:
    """`tolerant`: of a change that was journalled, and perhaps never made."""
    try:
        if undo.on == LAB:
            run(undo.argv, text=undo.text)
        elif undo.on in nodes:  # else the node is lost, and its changes with it
            nodes[undo.on].run(*undo.argv, text=undo.text)
    except SparkctlError:
        if not tolerant:
            raise


def _started_by(lab: Lab, entry: Active) -> Callable[[], list[psutil.Process]]:
    """What finds the processes that the fault started."""

    def find_them() -> list[psutil.Process]:
        found = []
        for process in processes(lab.base):
            try:
                if process.environ().get(MARK) == f"{entry.node}/{entry.fault}":
                    found.append(process)
            except psutil.Error:
                continue
        return found

    return find_them
