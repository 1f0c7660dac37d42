"""Nodes that only other nodes connect: four or more in a ring, or a chain."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from sparkctl.doctor.finding import Evidence, Finding, info, warn
from sparkctl.doctor.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.errors import Data
    from sparkctl.fabric.cabling import Wiring

# Four DGX Sparks in a ring without a switch: NCCL's rings connect, its trees end in
# ncclTransportTreeConnect (MiaAI-Lab/DeepSeek-v4.1-Flash-DGX-Sparks pull request 3). They served
# with an NCCL that was patched, and with merged NICs and routing by subnets
# (tonyd2wild/GLM-5.3-Int4-Int8Mix-TP4-4x-DGX-Spark issue 2).
CURE = Remedy(
    "connect each node to each other one, which three nodes at most can be, or use a switch; else"
    " set NCCL_ALGO=Ring, and use an NCCL that is patched for rings, or set"
    " NCCL_IB_SUBNET_AWARE_ROUTING=1 (NCCL from 2.30.7) and leave NCCL_IB_MERGE_NICS at 1"
)


def without_cable(snapshot: Snapshot, found: Wiring, one: str, two: str, *, cured: bool) -> Finding:
    """The WARN for all such pairs at the first that is looked at, INFO at the others; INFO alone
    with the environment that is a cure.
    """
    pairs = _pairs(snapshot, found)
    if (one, two) != next((pair for pair in pairs if _fits(found, *pair)), (one, two)):
        return info(
            f"no cable connects {one} and {two} either",
            node=two,
            code="pair-without-cable",
            data={"peer": one},
        )
    ring = _ring(found)
    listed = ", ".join(f"{a} and {b}" for a, b in pairs)
    shape = f"{', '.join(ring)} form a ring: " if ring else ""
    data: Data = {"peer": one, "pairs": [f"{a} {b}" for a, b in pairs], "ring": ring}
    if cured:
        text = f"{shape}no cable connects {listed}; NCCL routes by subnets over merged NICs"
        return info(text, node=two, code="routed-by-subnet", data=data)
    return warn(
        f"{shape}no cable connects {listed}; RDMA does not pass through other nodes, so NCCL's"
        " trees fail to connect",
        Evidence("a common subnet", "only other nodes between", "ip address on each node"),
        CURE,
        node=two,
        code="no-cable",
        data=data,
    )


def _fits(found: Wiring, one: str, two: str) -> bool:
    """Whether nothing worse is wrong between two nodes, which would be reported in its place."""
    as_many = len(found.halves(one)) == len(found.halves(two))
    return as_many and not (found.doubled(one) or found.doubled(two) or found.astray(one, two))


def _pairs(snapshot: Snapshot, found: Wiring) -> list[tuple[str, str]]:
    """The pairs without a cable of which a node was asked about, in the inventory's order."""
    asked = set(snapshot.names)
    return [
        (a, b)
        for a, b in combinations([name for name, _ in found.used], 2)
        if asked & {a, b} and found.apart(a, b) and found.joined(a, b)
    ]


def _ring(found: Wiring) -> Sequence[str]:
    """The nodes in the order of their cables, if they all form one ring; else none."""
    near = {name: _neighbours(found, name) for name, _ in found.used}
    if not found.complete or any(len(names) != 2 for names in near.values()):
        return []
    walk = [next(iter(near))]
    while following := [name for name in near[walk[-1]] if name not in walk]:
        walk.append(following[0])
    return walk if len(walk) == len(near) else []


def _neighbours(found: Wiring, name: str) -> list[str]:
    return sorted({n for half in found.halves(name) for n in found.faced(name, half)})
