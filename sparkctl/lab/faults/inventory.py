"""The lab's inventory, and faults that are a value in it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, TypedDict

import yaml

from sparkctl.lab.faults.fault import INVENTORY, Fault
from sparkctl.lab.spec import CABLED

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.lab.existing import Lab
    from sparkctl.lab.faults.target import Target

HCA = "NCCL_IB_HCA"
DEVICES = [half.hca for half in CABLED]


class Node(TypedDict):
    """A node of the inventory."""

    name: str
    env: dict[str, str]


class Vllm(TypedDict):
    """What is served, and how."""

    arguments: dict[str, object]


class Inventory(TypedDict):
    """The lab's inventory, as far as faults read or change it."""

    nodes: list[Node]
    fabric: dict[str, int]
    env: dict[str, dict[str, str]]
    runtime: dict[str, str]
    vllm: Vllm


def load(lab: Lab) -> Inventory:
    """The lab's inventory."""
    value: Inventory = yaml.safe_load(lab.inventory.read_text())
    return value


def edit(target: Target, change: Callable[[Inventory], None]) -> None:
    """Change the lab's inventory; healing restores the file as it was."""
    value, path = load(target.lab), target.lab.inventory
    change(value)
    fresh, healthy = path.with_suffix(".new"), path.with_suffix(".healthy")
    header = f"# Changed by `sparkctl lab fault {target.fault}`; `sparkctl lab heal` restores it.\n"
    fresh.write_text(header + yaml.safe_dump(value, sort_keys=False))
    shutil.copy(path, healthy)
    with target.changing("restore-inventory"):
        fresh.replace(path)


def set_cage(target: Target, cage: int) -> None:
    """Set the inventory's fabric.cage."""

    def change(inventory: Inventory) -> None:
        inventory["fabric"] = {"cage": cage}

    edit(target, change)


def set_everywhere(target: Target, name: str, value: str) -> None:
    """Set a variable for all nodes: the inventory's env.set."""

    def change(inventory: Inventory) -> None:
        inventory["env"]["set"][name] = value

    edit(target, change)


def _set_on_node(name: str, value: str) -> Callable[[Target], None]:
    def apply(target: Target) -> None:
        def change(inventory: Inventory) -> None:
            node = next(n for n in inventory["nodes"] if n["name"] == target.node.name)
            node.setdefault("env", {})[name] = value

        edit(target, change)

    return apply


FAULTS = (
    Fault(
        "hca-netdev-name",
        "NCCL_IB_HCA names network devices instead of RDMA devices",
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
        "NCCL_IB_HCA has quotes as part of its value",
        _set_on_node(HCA, f'"{",".join(DEVICES)}"'),
        touches=(INVENTORY,),
    ),
)
