"""Who faces whom on a cable, on a switch and in a ring, and whom NCCL's ranks join."""

from __future__ import annotations

import pytest

from sparkctl.fabric.cabling import Wiring
from sparkctl.fabric.topology import Half

PCI = ("0000:01:00.0", "0000:01:00.1", "0002:01:00.0", "0002:01:00.1")


def half(index: int, *ipv4: str) -> Half:
    return Half(f"hca{index}", f"net{index}", index % 2, PCI[index], True, ipv4, 9000)


def node(number: int, *subnets: int) -> tuple[Half, ...]:
    """A node with a half in each of these subnets."""
    return tuple(half(i, f"10.0.{s}.{number}/24") for i, s in enumerate(subnets))


def wiring(**nodes: tuple[Half, ...]) -> Wiring:
    return Wiring(tuple(nodes.items()))


def astray(found: Wiring, one: str, two: str) -> list[tuple[str, str]]:
    return [(lost.node, lost.half.hca) for lost in found.astray(one, two)]


RING = {"a": node(1, 1, 5, 2, 6), "b": node(2, 3, 1, 4, 2), "c": node(3, 5, 3, 6, 4)}


def test_a_pair_on_one_cable() -> None:
    found = wiring(a=node(1, 1, 2), b=node(2, 1, 2))
    assert astray(found, "a", "b") == []
    assert not found.crossed("a", "b")
    assert not found.free
    assert astray(wiring(a=node(1, 1, 2), b=node(2, 1, 7)), "a", "b") == [("b", "hca1")]
    both = (half(0, "10.0.1.2/24"), half(1, "10.0.1.3/24"))
    assert astray(wiring(a=node(1, 1, 2), b=both), "a", "b") == [("a", "hca1")]
    assert wiring(b=both).doubled("b")


def test_crossed_halves_face_each_other_and_are_joined_wrongly() -> None:
    found = wiring(a=node(1, 1, 2), b=node(2, 2, 1))
    assert astray(found, "a", "b") == []
    crossed = [(x.hca, y.hca) for x, y in found.crossed("a", "b")]
    assert crossed == [("hca0", "hca0"), ("hca1", "hca1")]


def test_in_a_ring_each_half_has_one_neighbour() -> None:
    found = wiring(**RING)
    assert found.free
    for one, two in (("a", "b"), ("a", "c"), ("b", "c")):
        assert astray(found, one, two) == []
        assert not found.apart(one, two)
        assert len(found.crossed(one, two)) == 4


@pytest.mark.parametrize("subnets", [(1, 7), (7, 2), (7, 8)])
def test_on_a_switch_a_half_in_the_wrong_subnet_is_found(subnets: tuple[int, ...]) -> None:
    found = wiring(a=node(1, 1, 2), b=node(2, 1, 2), c=node(3, *subnets))
    wrong = [("c", f"hca{i}") for i, s in enumerate(subnets) if s > 2]
    assert astray(found, "a", "c") == astray(found, "b", "c") == wrong
    assert astray(found, "a", "b") == []


def test_two_nodes_in_subnets_of_their_own_are_not_joined_to_the_others() -> None:
    found = wiring(a=node(1, 1, 2), b=node(2, 1, 2), c=node(3, 7, 8), d=node(4, 7, 8))
    assert found.apart("a", "c")
    assert not found.joined("a", "c")
    ring = wiring(a=node(1, 1, 4), b=node(2, 2, 1), c=node(3, 3, 2), d=node(4, 4, 3))
    assert ring.apart("a", "c")
    assert ring.joined("a", "c")
    assert astray(ring, "a", "c") == []


def test_the_same_address_on_two_nodes() -> None:
    found = wiring(a=node(1, 1, 2), b=node(1, 1, 3))
    assert [(h.hca, ip) for h, ip in found.twins("a", "b")] == [("hca0", "10.0.1.1")]
