"""Whether NCCL connected its ring and failed at its tree; pure.

NCCL connects a tree besides the ring, also under NCCL_ALGO=Ring (src/transport/generic.cc). In a
ring of four nodes the tree has two ranks without a common cable in it (MiaAI-Lab's
DeepSeek-v4.1-Flash-DGX-Sparks, pull request 3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from sparkctl.fabric.nccllog.errors import Fault

LEAST_NODES = 4  # with fewer each node has a cable to each other
PEERS = 64  # the most that are kept
# `Trees [0] 2/-1/-1->0->-1 [1] …`: those below, the rank itself, the one above; -1 is none.
TREE = re.compile(r"\[[0-9]+\] ((?:-?[0-9]{1,6}/?){1,4})->[0-9]{1,6}->(-?[0-9]{1,6})\b")
CHANNEL = re.compile(r"Channel [0-9/]+ : ([0-9]{1,6})\[[^]]*\] -> ([0-9]{1,6})\[")
TRACE = re.compile(r"(?:\S*/)?(?:init|generic)\.cc:[0-9]+ -> [1-6]\b|\S*TreeConnect\b.* -> [1-6]\b")


@dataclass
class Tree:
    """What a process printed of its ring and its tree: the ranks that it talks to in each."""

    ring_connected: bool = False
    ring: set[int] = field(default_factory=set)
    tree: set[int] = field(default_factory=set)

    def take(self, message: str) -> None:
        """Read a message."""
        if message.startswith("Trees "):
            found = {int(n) for m in TREE.finditer(message) for n in (*m[1].split("/"), m[2]) if n}
            self.tree |= {*sorted(found - {-1})[:PEERS]}
        elif message.startswith("Connected all rings"):
            self.ring_connected = True
        elif message.startswith("Connected all trees") or message.endswith("Init START"):
            self.ring_connected, self.ring = False, set()
        elif not self.ring_connected and (channel := CHANNEL.match(message)):
            self.ring |= {int(channel[1]), int(channel[2])} if len(self.ring) < PEERS else set()

    @property
    def diagonal(self) -> list[int]:
        """The ranks that the tree has and the ring does not; empty if the log shows no ring."""
        return sorted(self.tree - self.ring) if self.ring else []

    def fault(self, found: Fault | None, message: str, nodes: int) -> Fault | None:
        """The fault, as the tree's where it is that; `found` is what the message itself shows."""
        if not self.ring_connected or nodes < LEAST_NODES:
            return found
        if self.tree and self.ring and not self.diagonal:
            return found
        if found and found.cause in ("peer-timeout", "no-route"):
            return replace(found, cause="ring-without-diagonal")
        if TRACE.match(message):
            return Fault("ring-without-diagonal")
        return found
