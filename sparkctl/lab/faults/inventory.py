"""What the lab's inventory says, and faults that are a value in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from sparkctl.lab.faults.fault import INVENTORY, Fault
from sparkctl.lab.spec import CABLED

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.lab.faults.target import Target
    from sparkctl.lab.lab import Lab

HCA = "NCCL_IB_HCA"
DEVICES = [half.hca for half in CABLED]


def load(lab: Lab) -> dict[str, Any]:
    """The lab's inventory, as YAML gives it."""
    value: dict[str, Any] = yaml.safe_load(lab.inventory.read_text())
    return value


def edit(target: Target, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the lab's inventory; healing brings back the very file."""
    value, path = load(target.lab), target.lab.inventory
    change(value)
    fresh, healthy = path.with_suffix(".new"), path.with_suffix(".healthy")
    header = f"# Changed by `sparkctl lab fault {target.fault}`; `sparkctl lab heal` restores it.\n"
    fresh.write_text(header + yaml.safe_dump(value, sort_keys=False))
    target.change_lab(["cp", str(path), str(healthy)], ["mv", str(healthy), str(path)])
    fresh.replace(path)


def set_everywhere(target: Target, name: str, value: str) -> None:
    """Set a variable for all nodes: the inventory's env.set."""
    edit(target, lambda inventory: inventory["env"]["set"].update({name: value}))


def _set_on_node(name: str, value: str) -> Callable[[Target], None]:
    def change(inventory: dict[str, Any], node: str) -> None:
        found = next(n for n in inventory["nodes"] if n["name"] == node)
        found.setdefault("env", {})[name] = value

    return lambda target: edit(target, lambda inventory: change(inventory, target.node.name))


FAULTS = (
    Fault(
        "hca-netdev-name",
        "NCCL_IB_HCA names the network devices in place of the RDMA devices",
        _set_on_node(HCA, ",".join(half.interface for half in CABLED)),
        touches=(INVENTORY,),
    ),
    Fault(
        "hca-space",
        "NCCL_IB_HCA has a space after its comma",
        _set_on_node(HCA, ", ".join(DEVICES)),
        touches=(INVENTORY,),
    ),
    Fault(
        "hca-quotes",
        "NCCL_IB_HCA has quotes that became part of the value",
        _set_on_node(HCA, f'"{",".join(DEVICES)}"'),
        touches=(INVENTORY,),
    ),
)
