"""The lab that was made in a folder: its nodes and their state."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, NotRequired, TypedDict

from sparkctl.errors import UsageError
from sparkctl.lab import node, statefile
from sparkctl.lab.containers import image, tools
from sparkctl.lab.faults import journal
from sparkctl.lab.hardware import CONNECTX_7, HARDWARE, Hardware
from sparkctl.lab.processes import first_pids
from sparkctl.lab.spec import CABLED, NodeSpec, imitated

if TYPE_CHECKING:
    from pathlib import Path

STATE = "lab.json"


class State(TypedDict):
    """What lab.json holds: the number of nodes, the management network's first octets, and, which
    labs of older releases do not have, the name of the hardware and the container engines.
    """

    nodes: int
    subnet: str
    hardware: NotRequired[str]
    containers: NotRequired[list[str]]


@dataclass(frozen=True)
class Lab:
    """A lab's folder and nodes, each with these container engines; `existing`: it was up before."""

    base: Path
    nodes: list[NodeSpec]
    existing: bool = False
    containers: tuple[str, ...] = ()

    @property
    def hardware(self) -> Hardware:
        """The RDMA devices of its nodes."""
        return self.nodes[0].hardware

    @property
    def inventory(self) -> Path:
        """The path of the inventory for the other commands."""
        return self.base / "inventory.yaml"


def specs(base: Path, state: State) -> list[NodeSpec]:
    """The nodes of the lab in `base`. Raises SparkctlError when its hardware is unknown."""
    hardware = known_hardware(state.get("hardware", CONNECTX_7.name))
    return [NodeSpec(n, base, state["subnet"], hardware) for n in range(1, state["nodes"] + 1)]


def known_hardware(name: str) -> Hardware:
    """The hardware of that name; raises UsageError."""
    if name not in HARDWARE:
        raise UsageError(
            f"unknown hardware {name}",
            hint=f"the lab imitates {' or '.join(HARDWARE)}",
            code="lab-hardware-unknown",
            data={"hardware": name, "known": list(HARDWARE)},
        )
    return HARDWARE[name]


def require_root() -> None:
    """Raises UsageError where namespaces cannot be made."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise UsageError(
            "the lab needs Linux and root: it makes network namespaces and mounts",
            hint="run it as root on a Linux machine, or run `sparkctl init` for real Sparks",
            code="lab-needs-root",
        )


def find(base: Path) -> Lab | None:
    """The lab that was made in `base`; None when there is none.

    Raises UsageError without root, SparkctlError when lab.json is damaged or of an unknown schema.
    """
    require_root()
    base = base.resolve()

    def build(state: State) -> Lab:
        containers = tuple(state.get("containers", ()))
        return Lab(base, specs(base, state), existing=True, containers=containers)

    return statefile.read(base / STATE, build)


class NodeStatus(TypedDict):
    """A node as JSON; `pid` is null when it does not run."""

    name: str
    address: str
    fabric: dict[str, str]
    netns: str
    pid: int | None
    ssh: bool


class FaultStatus(TypedDict):
    """An active fault as JSON."""

    name: str
    node: str


class Status(TypedDict):
    """A lab as JSON; part of the contract that scripts rely on; `image` is null without engines."""

    base: str
    inventory: str
    hardware: str
    nodes: list[NodeStatus]
    faults: list[FaultStatus]
    containers: list[str]
    image: str | None
    imitated: list[str]


def status(base: Path) -> Status | None:
    """The lab as JSON; None when there is none. Raises as find() does."""
    lab = find(base)
    if lab is None:
        return None
    running, cabled = first_pids(lab.nodes), CABLED if len(lab.nodes) > 1 else ()
    return {
        "base": str(lab.base),
        "inventory": str(lab.inventory),
        "hardware": lab.hardware.name,
        "nodes": [
            {
                "name": n.name,
                "address": n.address,
                "fabric": {h.interface: n.fabric_address(h) for h in cabled},
                "netns": n.netns,
                "pid": running.get(n.name),
                "ssh": n.name in running and node.ssh_answers(n),
            }
            for n in lab.nodes
        ],
        "faults": [{"name": a.fault, "node": a.node} for a in journal.read(lab.base)],
        "containers": [*lab.containers],
        "image": image.NAME if lab.containers else None,
        "imitated": [*imitated(lab.hardware), *tools.imitated(lab.containers)],
    }
