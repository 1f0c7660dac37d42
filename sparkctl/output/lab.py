"""The lab's nodes and faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.output.stdio import print_json, print_names, print_out, print_wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.lab.existing import Lab, NodeStatus, Status
    from sparkctl.lab.faults.engine import Overview
    from sparkctl.lab.faults.journal import Active
    from sparkctl.output.stdio import Form
    from sparkctl.output.table import Column


def print_made(lab: Lab) -> None:
    """Print the nodes of a lab that is up, and the next command."""
    if lab.existing:
        print_wrapped(f"the lab in {lab.base} is up already")
    for node in lab.nodes:
        print_out(f"{node.name}: {node.address}")
    print_wrapped(f"next: sparkctl up -i {lab.inventory}")


def print_lab(found: Status | None, form: Form) -> None:
    """Print a lab's status, None for no lab. The names are the nodes'."""
    if form == "json":
        print_json(found or {"nodes": []})
    elif form == "name":
        print_names(node["name"] for node in (found["nodes"] if found else ()))
    elif found is None:
        print_out("no lab is up")
    else:
        _print_lab(found, wide=form == "wide")


def _print_lab(found: Status, *, wide: bool) -> None:
    from sparkctl.output.console import print_prose, wide_console
    from sparkctl.output.imitated import imitated_lines
    from sparkctl.output.table import print_table

    console = wide_console()
    print_table(console, _columns(found["nodes"]), wide=wide)
    for active in found["faults"]:
        print_prose(console, f"fault: {active['name']} on {active['node']}", 4)
    if found["image"]:
        engines = " and ".join(found["containers"])
        print_prose(console, f"containers: {engines} with image {found['image']}", 4)
    for line in imitated_lines(found["imitated"]):
        print_prose(console, line, 8)


def _columns(nodes: Sequence[NodeStatus]) -> list[Column]:
    from sparkctl.output.table import KEPT, Column, filled

    states = {"running": "green", "not running": "red", "answers": "green", "no answer": "red"}
    pids = [node["pid"] for node in nodes]
    return [
        Column("NODE", [node["name"] for node in nodes], KEPT),
        Column("STATE", ["running" if pid else "not running" for pid in pids], 4, styles=states),
        Column("SSH", [_ssh(node) for node in nodes], 3, styles=states),
        Column("ADDRESS", [node["address"] for node in nodes], KEPT),
        Column("FABRIC", [" ".join(node["fabric"].values()) or "-" for node in nodes], 2),
        Column("PID", filled(pids), 0, hidden=True),
        Column("NETNS", [node["netns"] for node in nodes], 0, hidden=True),
    ]


def _ssh(node: NodeStatus) -> str:
    return "answers" if node["ssh"] else "no answer"


def print_removed(removed: Sequence[str]) -> None:
    """Print what `lab down` removed."""
    print_wrapped(f"removed {', '.join(removed)}" if removed else "nothing to do")


def print_injected(active: Active, happens: str) -> None:
    """Print what a fault does, and where."""
    print_wrapped(f"{active.node}: {happens}")


def print_healed(healed: Sequence[Active]) -> None:
    """Print which faults are gone."""
    for active in healed:
        print_out(f"{active.node}: healed {active.fault}")
    if not healed:
        print_out("nothing to heal")


def print_faults(faults: Sequence[Overview], form: Form) -> None:
    """Print all faults, with the nodes where they are active."""
    if form == "json":
        print_json({"faults": faults})
        return
    if form == "name":
        print_names(fault["name"] for fault in faults)
        return
    from sparkctl.output.console import wide_console
    from sparkctl.output.table import KEPT, Column, filled, print_table

    active = [", ".join(fault["active"]) or None for fault in faults]
    columns = [
        Column("FAULT", [fault["name"] for fault in faults], KEPT),
        Column("ACTIVE ON", filled(active), 1, styles={on: "yellow" for on in active if on}),
        Column("DEFAULT NODE", [fault["node"] for fault in faults], 0),
        Column("EFFECT", [_effect(fault) for fault in faults], KEPT, prose=True),
    ]
    print_table(wide_console(), columns, wide=form == "wide")


def _effect(fault: Overview) -> str:
    needs = "" if fault["needs"] == "nothing" else f" (needs: {fault['needs']})"
    reason = f" (impossible: {fault['impossible']})" if fault["impossible"] else ""
    return f"{fault['happens']}{needs}{reason}"
