"""What the lab consists of: names, addresses, paths; pure, and the standard library alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.lab.hardware import CONNECTX_7, Hardware

if TYPE_CHECKING:
    from pathlib import Path

MARK = "SPARKCTL_LAB"  # in the environment of the lab's processes: its folder
MTU = 9000
MAX_NODES = 16
MANAGEMENT = "enP7s7"
IMITATED = (
    "nodes: network, mount, pid, uts and ipc namespaces of one Linux machine",
    "/dev/kmsg: a file of the node's own, without this machine's log",
    "nvidia-smi: a script that answers as with a GB10",
    "GPU: vLLM's CPU build runs on one logical GPU per node",
    "model: MiniMaxM2ForCausalLM in miniature, with random weights",
    "SGLang, where it is installed: no kernels, and the model's norm of q and k by torch",
)


@dataclass(frozen=True)
class HalfSpec:
    """One half of a cage of a DGX Spark: names, PCI function and subnet."""

    index: int
    interface: str
    hca: str
    pci: str
    cage: int
    subnet: str | None  # the first three octets; None: no cable in this cage

    @property
    def pci_folder(self) -> str:
        """The PCI function's folder, relative to /sys, where the hardware has one."""
        return f"devices/pci{self.pci.partition(':')[0]}:00/{self.pci}"

    @property
    def net_folder(self) -> str:
        """The network device's folder, relative to /sys: a veth is a virtual device."""
        return f"devices/virtual/net/{self.interface}"


HALVES = (
    HalfSpec(0, "enp1s0f0np0", "rocep1s0f0", "0000:01:00.0", 0, "192.168.100"),
    HalfSpec(1, "enP2p1s0f0np0", "roceP2p1s0f0", "0002:01:00.0", 0, "192.168.101"),
    HalfSpec(2, "enp1s0f1np1", "rocep1s0f1", "0000:01:00.1", 1, None),
    HalfSpec(3, "enP2p1s0f1np1", "roceP2p1s0f1", "0002:01:00.1", 1, None),
)
CABLED = tuple(h for h in HALVES if h.subnet)


def imitated(hardware: Hardware) -> list[str]:
    """What of a lab is imitated."""
    nodes, *rest = IMITATED
    return [nodes, hardware.imitated, *rest]


def prefix(base: Path) -> str:
    """How the names of this lab's links and namespaces on this machine begin.

    It is made from the folder: two labs differ, and `lab down` finds all of one by its folder. A
    link's name has at most 15 bytes; the lab's longest is like `lab012345-16`.
    """
    return "lab" + hashlib.sha256(str(base).encode()).hexdigest()[:6]


@dataclass(frozen=True)
class NodeSpec:
    """One imitated Spark; `number` counts from 1."""

    number: int
    base: Path
    management_subnet: str
    hardware: Hardware = CONNECTX_7

    @property
    def name(self) -> str:
        """The node's name in the inventory, and its hostname."""
        return f"spark-{self.number}"

    @property
    def netns(self) -> str:
        """The name of its network namespace, and of its port on the management bridge."""
        return f"{prefix(self.base)}-{self.number}"

    @property
    def folder(self) -> Path:
        """Its files and keys on this machine."""
        return self.base / "nodes" / self.name

    @property
    def address(self) -> str:
        """Its management address."""
        return f"{self.management_subnet}.{10 + self.number}"

    def fabric_address(self, half: HalfSpec) -> str:
        """Its address on a half that has a cable."""
        return f"{half.subnet}.{10 + self.number}"

    def mac(self, half: HalfSpec) -> str:
        """The hardware address of a half."""
        return f"4c:bb:47:00:{self.number:02x}:{half.index:02x}"
