"""Whether the nodes' chosen halves can talk to each other; pure.

facts/spark-fabric.md, Topology.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Interface
from itertools import combinations

from sparkctl.fabric.choice import FabricChoice


def check_pairing(choices: Mapping[str, FabricChoice]) -> list[tuple[str, str]]:
    """(node, problem) for every node whose choice does not fit the first one's.

    The socket interfaces belong in one subnet, the two halves of a node in two; every
    node uses as many RDMA devices as the others, and at least one.
    """
    problems = []
    for name, choice in choices.items():
        problems += [(name, text) for text in _alone(choice)]
    first = next(iter(choices), "")
    for name, choice in choices.items():
        if name != first:
            problems += [(name, text) for text in _beside(first, choices[first], choice)]
    return problems


def _alone(choice: FabricChoice) -> Iterator[str]:
    named = list(zip(choice.interfaces, map(IPv4Interface, choice.addresses), strict=False))
    for (one, a), (two, b) in combinations(named, 2):
        if a.network.overlaps(b.network):
            yield f"both halves are in one subnet: {one} has {a}, {two} has {b}"
    if not choice.hcas:
        interfaces = ", ".join(choice.interfaces)
        yield f"no RDMA device belongs to {interfaces}: NCCL would use sockets, at a tenth"


def _beside(first: str, one: FabricChoice, two: FabricChoice) -> Iterator[str]:
    a, b = IPv4Interface(one.addresses[0]), IPv4Interface(two.addresses[0])
    if a.ip not in b.network or b.ip not in a.network:
        yield (
            f"its socket interface {two.interfaces[0]} ({b}) and {first}'s {one.interfaces[0]}"
            f" ({a}) are not in one subnet"
        )
    if one.hcas and two.hcas and len(one.hcas) != len(two.hcas):
        yield (
            f"it uses {len(two.hcas)} RDMA devices ({', '.join(two.hcas)}), {first} uses"
            f" {len(one.hcas)} ({', '.join(one.hcas)})"
        )
