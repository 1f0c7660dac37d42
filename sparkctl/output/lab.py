"""The lab's nodes and faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.output.stdio import print_json, print_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.lab.existing import Lab, NodeStatus, Status
    from sparkctl.lab.faults.engine import Overview
    from sparkctl.lab.faults.journal import Active


def print_made(lab: Lab) -> None:
    """Print the nodes of a lab that is up, and the next command."""
    if lab.existing:
        print_out(f"the lab in {lab.base} is up already")
    for node in lab.nodes:
        print_out(f"{node.name}: {node.address}")
    print_out(f"next: sparkctl up -i {lab.inventory}")


def print_lab(found: Status | None, *, as_json: bool) -> None:
    """Print a lab's status, None for no lab."""
    if as_json:
        print_json(found or {"nodes": []})
        return
    if found is None:
        print_out("no lab is up")
        return
    for node in found["nodes"]:
        print_out(_node(node))
    for active in found["faults"]:
        print_out(f"fault: {active['name']} on {active['node']}")
    if found["image"]:
        print_out(f"containers: {' and '.join(found['containers'])} with image {found['image']}")
    for what in found["imitated"]:
        print_out(f"imitated: {what}")


def _node(node: NodeStatus) -> str:
    parts = (
        f"{node['name']}: {node['address']}",
        f"fabric {' '.join(node['fabric'].values()) or 'none'}",
        f"pid {node['pid']}" if node["pid"] else "not running",
        "ssh answers" if node["ssh"] else "ssh does not answer",
        f"netns {node['netns']}",
    )
    return ", ".join(parts)


def print_removed(removed: Sequence[str]) -> None:
    """Print what `lab down` removed."""
    print_out(f"removed {', '.join(removed)}" if removed else "nothing to do")


def print_injected(active: Active, happens: str) -> None:
    """Print what a fault does, and where."""
    print_out(f"{active.node}: {happens}")


def print_healed(healed: Sequence[Active]) -> None:
    """Print which faults are gone."""
    for active in healed:
        print_out(f"{active.node}: healed {active.fault}")
    if not healed:
        print_out("nothing to heal")


def print_faults(faults: Sequence[Overview], *, as_json: bool) -> None:
    """Print all faults, the active ones marked with *."""
    if as_json:
        print_json({"faults": faults})
        return
    for fault in faults:
        mark = "*" if fault["active"] else " "
        where = ", ".join(fault["active"]) or fault["node"]
        needs = "" if fault["needs"] == "nothing" else f" (needs: {fault['needs']})"
        reason = f" (impossible: {fault['impossible']})" if fault["impossible"] else ""
        print_out(f"{mark} {fault['name']:20} {where:9} {fault['happens']}{needs}{reason}")
