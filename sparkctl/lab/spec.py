"""What the lab consists of: names, addresses and places; pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MARK = "SPARKCTL_LAB"
BRIDGE = "sparklab0"
SWITCH = "sparkctl-switch"
MTU = 9000
MAX_NODES = 16
MANAGEMENT = "enP7s7"
IMITATED = (
    "the nodes: network, mount, pid, uts and ipc namespaces of one Linux machine",
    "the ConnectX-7: its sysfs files (infiniband, PCI links, speed); its cable is a veth pair",
    "nvidia-smi and the GPU: vLLM's CPU build runs on one logical GPU a node",
    "the model: MiniMaxM2ForCausalLM in miniature, of random weights",
)


@dataclass(frozen=True)
class HalfSpec:
    """One half of a cage: names, PCI function and subnet (facts/spark-fabric.md, Topology)."""

    interface: str
    hca: str
    pci: str
    cage: int
    subnet: str | None  # the first three octets; None: no cable in this cage


HALVES = (
    HalfSpec("enp1s0f0np0", "rocep1s0f0", "0000:01:00.0", 0, "192.168.100"),
    HalfSpec("enP2p1s0f0np0", "roceP2p1s0f0", "0002:01:00.0", 0, "192.168.101"),
    HalfSpec("enp1s0f1np1", "rocep1s0f1", "0000:01:00.1", 1, None),
    HalfSpec("enP2p1s0f1np1", "roceP2p1s0f1", "0002:01:00.1", 1, None),
)
CABLED = tuple(h for h in HALVES if h.subnet)


@dataclass(frozen=True)
class NodeSpec:
    """One imitated Spark; `number` counts from 1."""

    number: int
    base: Path
    management_subnet: str

    @property
    def name(self) -> str:
        """The node's name in the inventory, and its hostname."""
        return f"spark-{self.number}"

    @property
    def netns(self) -> str:
        """Its network namespace, as `ip netns` lists it."""
        return f"sparkctl-{self.name}"

    @property
    def folder(self) -> Path:
        """Its upper layers and keys on this machine."""
        return self.base / "nodes" / self.name

    @property
    def address(self) -> str:
        """Its management address."""
        return f"{self.management_subnet}.{10 + self.number}"

    def fabric_address(self, half: HalfSpec) -> str:
        """Its address on a half that has a cable."""
        return f"{half.subnet}.{10 + self.number}"
