"""Applying faults to the lab's nodes, and healing them."""

from __future__ import annotations

import difflib
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypedDict

from sparkctl.errors import SparkctlError, UsageError
from sparkctl.lab.errors import nodes_lost
from sparkctl.lab.existing import Lab, find
from sparkctl.lab.faults import journal, settled
from sparkctl.lab.faults.journal import Active
from sparkctl.lab.faults.needs import require
from sparkctl.lab.faults.table import FAULTS
from sparkctl.lab.faults.target import Target
from sparkctl.lab.faults.undo import undo
from sparkctl.lab.lock import exclusive
from sparkctl.lab.processes import first_pids
from sparkctl.lab.running import RunningNode
from sparkctl.text import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sparkctl.lab.faults.fault import Fault


class Overview(TypedDict):
    """A fault as JSON: `node` is the default one, `active` lists the nodes that have it;
    `impossible` is why the lab's hardware cannot have it.
    """

    name: str
    happens: str
    node: str
    needs: str
    impossible: str | None
    active: list[str]


def inject(base: Path, name: str, node: str | None = None) -> Active:
    """Apply a fault to a node, its default one if None; it is in effect on return.

    A fault that fails is undone. Raises UsageError for an unknown lab, fault or node, SparkctlError
    when the fault is active already, conflicts with another, or cannot be applied.
    """
    fault = named(name)
    with _locked(base) as (lab, nodes):
        where = node or fault.node
        if where not in (names := [n.name for n in lab.nodes]):
            raise UsageError(
                f'unknown node "{where}"{nearest(where, names)}',
                hint=f"the lab's nodes are {', '.join(names)}",
                code="lab-node-unknown",
                data={"node": where, "nodes": names},
            )
        _refuse_impossible(lab, fault)
        if where not in nodes:
            raise nodes_lost(lab.base, [where])
        active = journal.read(lab.base)
        _refuse_conflict(lab.base, fault, where, active)
        entry = Active(name, where)
        active.append(entry)

        target = Target(lab, nodes[where], entry, lambda: journal.write(lab.base, active))
        require(fault.needs, target)
        try:
            target.change(f"mkdir {target.folder}", "remove", path=str(target.folder))
            fault.apply(target)
            settled.wait(list(nodes.values()))
        except BaseException:
            undo(lab, nodes, active, [entry])
            raise
    return entry


def heal(base: Path, name: str | None = None) -> list[Active]:
    """Undo a fault on all nodes that have it, or all faults; the last first; gives which.

    Raises SparkctlError when the fault is not active, or when an undo fails; what could not be
    undone stays in the journal.
    """
    if name is not None:
        named(name)
    with _locked(base) as (lab, nodes):
        active = journal.read(lab.base)
        chosen = [a for a in reversed(active) if name in (None, a.fault)]
        if name is not None and not chosen:
            listed = ", ".join(f"{a.fault} on {a.node}" for a in active) or "none"
            raise SparkctlError(
                f"fault {name} is not active", hint=f"active: {listed}", code="fault-not-active"
            )
        undo(lab, nodes, active, chosen)
        settled.wait(list(nodes.values()))
    return chosen


def overview(base: Path) -> list[Overview]:
    """Every fault as JSON, in the order of the table."""
    lab = find(base)
    active = journal.read(lab.base) if lab else []
    return [
        {
            "name": f.name,
            "happens": f.happens,
            "node": f.node,
            "needs": f.needs,
            "impossible": f.impossible.get(lab.hardware.name) if lab else None,
            "active": [a.node for a in active if a.fault == f.name],
        }
        for f in FAULTS.values()
    ]


def named(name: str) -> Fault:
    """The fault of that name; raises UsageError."""
    if name not in FAULTS:
        near = difflib.get_close_matches(name, FAULTS, n=3)
        raise UsageError(
            f'unknown fault "{name}"{nearest(name, FAULTS)}',
            hint="`sparkctl lab faults` lists them",
            code="fault-unknown",
            data={"similar": near},
        )
    return FAULTS[name]


@contextmanager
def _locked(base: Path) -> Iterator[tuple[Lab, dict[str, RunningNode]]]:
    """The lab and its running nodes, locked for this command."""
    if find(base):
        with exclusive(base.resolve(), create=False):
            if lab := find(base):  # it may have been removed before the lock was taken
                pids = first_pids(lab.nodes)
                running = [n for n in lab.nodes if n.name in pids]
                yield lab, {n.name: RunningNode(n, pids[n.name]) for n in running}
                return
    raise UsageError(
        f"no lab is up in {base}", hint=f"run `sparkctl lab up --dir {base}`", code="lab-not-up"
    )


def _refuse_impossible(lab: Lab, fault: Fault) -> None:
    hardware = lab.hardware.name
    if reason := fault.impossible.get(hardware):
        raise UsageError(
            f"cannot inject fault {fault.name} into a lab with the hardware {hardware}: {reason}",
            hint="`sparkctl lab faults` lists the others",
            code="fault-impossible",
            data={"fault": fault.name, "hardware": hardware},
        )


def _refuse_conflict(base: Path, fault: Fault, where: str, active: Iterable[Active]) -> None:
    for other in active:
        hint = f"run `sparkctl lab heal {other.fault} --dir {base}` first"
        same = other.node == where
        if other.fault == fault.name and same:
            raise SparkctlError(
                f"fault {fault.name} is already active on {where}", hint=hint, code="fault-active"
            )
        if place := fault.shared(FAULTS[other.fault], same_node=same):
            raise SparkctlError(
                f"fault {fault.name} conflicts with {other.fault} on {other.node}:"
                f" both change {place}",
                hint=hint,
                code="fault-conflict",
                data={"fault": other.fault, "node": other.node, "place": place},
            )
