"""Which GID NCCL takes of a port's table."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.fabric.gid import Gid, address_range, table, taken, taken_index
from sparkctl.facts.groups import GidSlot

V1, V2 = "IB/RoCE v1", "RoCE v2"
FIRST = "enp1s0f0np0"
LINK = "fe80:0000:0000:0000:4ebb:47ff:fe00:0100"
GLOBAL = "2001:0db8:0000:0000:0000:0000:0000:0011"
MAPPED = "0000:0000:0000:0000:0000:ffff:c0a8:640b"
SECOND = "0000:0000:0000:0000:0000:ffff:c0a8:650b"
LINK_LOCAL = "0000:0000:0000:0000:0000:ffff:a9fe:0102"  # 169.254.1.2


def gids(*slots: tuple[int, str, str]) -> list[Gid]:
    return table([GidSlot(index=i, gid=gid, type=kind, ndev=FIRST) for i, gid, kind in slots])


MLX5 = gids((0, LINK, V1), (1, LINK, V2), (2, MAPPED, V1), (3, MAPPED, V2))


def test_the_first_roce_v2_of_an_ipv4_address_is_taken() -> None:
    found = taken(MLX5)
    assert found is not None
    assert (found.index, found.ipv4, found.usable) == (3, "192.168.100.11", True)
    assert (found.family, found.kind, found.ndev) == ("IPv4", "RoCE v2", "enp1s0f0np0")


@pytest.mark.parametrize(
    ("slots", "chosen"),
    [
        ([(4, SECOND, V1), (5, SECOND, V2), (7, MAPPED, V2)], 5),  # the first of two addresses
        ([(0, LINK, V2), (1, LINK_LOCAL, V2)], 1),
        ([(0, MAPPED, V1), (1, MAPPED, V2)], 1),
        ([(0, MAPPED, V2), (1, SECOND, V2)], 0),
        ([(0, LINK, V1), (1, LINK, V2), (2, GLOBAL, V1), (3, GLOBAL, V2)], 0),
        ([(0, LINK, V1), (1, LINK, V2), (2, MAPPED, V1)], 2),  # of RoCE v1 alone
        ([(0, LINK, V1), (2, MAPPED, V1), (4, SECOND, V1), (6, SECOND, V2)], 6),
    ],
)
def test_the_slot_of_a_table(slots: list[tuple[int, str, str]], chosen: int) -> None:
    found = taken(gids(*slots))
    assert found is not None
    assert found.index == chosen


def test_a_slot_whose_type_cannot_be_read() -> None:
    found = table([GidSlot(index=3, gid=MAPPED, type=None, ndev=None)])
    assert found == [Gid(3, MAPPED, "unknown", "192.168.100.11")]
    assert not found[0].usable


def test_without_ipv4_it_stays_at_the_first_slot() -> None:
    found = taken(MLX5[:2])
    assert found is not None
    assert (found.index, found.usable, found.family) == (0, False, "IPv6")
    assert taken([]) is None
    assert taken_index([]) == 0


def test_soft_roce_and_holes() -> None:
    rxe = gids((0, LINK, V2), (1, MAPPED, V2))
    assert taken_index(rxe) == 1
    moved = gids((7, MAPPED, V2), (2, LINK, V2), (5, MAPPED, V1))
    assert taken_index(moved) == 7
    assert taken(moved, 0) is None


def test_a_pinned_slot_is_used_unchecked() -> None:
    found = taken(MLX5, 1)
    assert found is not None
    assert (found.index, found.usable) == (1, False)
    assert taken(MLX5, 7) is None
    assert taken_index(MLX5, 7) == 7
    assert taken(MLX5, -1) == taken(MLX5)


@pytest.mark.parametrize(
    ("value", "chosen"),
    [
        ("192.168.101.0/24", 5),
        ("192.168.101.99/24", 5),
        ("192.168.100.0/23", 3),
        ("10.0.0.0/8", 0),
        ("", 3),
        ("192.168.101.11", 3),
        ("192.168.101.0/33", 3),
        ("here/24", 3),
    ],
)
def test_a_range_of_addresses_leaves_out_the_others(value: str, chosen: int) -> None:
    both = gids((0, LINK, V1), (2, MAPPED, V1), (3, MAPPED, V2), (4, SECOND, V1), (5, SECOND, V2))
    assert taken_index(both, within=address_range(value)) == chosen
    assert taken_index(both, 2, address_range(value)) == 2


def test_the_first_slot_is_taken_whatever_the_range() -> None:
    rxe = gids((0, MAPPED, V2), (1, SECOND, V2))
    assert taken_index(rxe, within=address_range("192.168.101.0/24")) == 0


AF_INET, AF_INET6 = 2, 10
Tables = dict[int, tuple[str, str]]  # slot: GID and type


def words(gid: str) -> list[int]:
    """s6_addr32, in the host's order."""
    raw = IPv6Address(gid).packed
    return [int.from_bytes(raw[at : at + 4]) for at in range(0, 16, 4)]


def get_gid_addr_family(gid: str) -> int:
    a = words(gid)
    mapped = ((a[0] | a[1]) | (a[2] ^ 0x0000FFFF)) == 0
    multicast = a[0] == 0xFF0E0000 and (a[1] | (a[2] ^ 0x0000FFFF)) == 0
    return AF_INET if mapped or multicast else AF_INET6


def valid_gid(gid: str) -> bool:
    a = words(gid)
    trailer = a[1] | a[2] | a[3]
    configured = not ((a[0] | trailer) == 0 or (a[0] == 0xFE800000 and trailer == 0))
    link_local = a[0] == 0xFE800000 and a[1] == 0
    return configured and not link_local


def update_gid_index(slots: Tables, candidate: int, current: int) -> int:
    """ncclUpdateGidIndex with the defaults: AF_INET, RoCE v2, no NCCL_IB_ADDR_RANGE."""
    user_family, user_version = AF_INET, 2
    empty = ("::", "")
    gid, gid_type = slots.get(current, empty)
    gid_candidate, candidate_type = slots.get(candidate, empty)
    gid_family = get_gid_addr_family(gid)
    candidate_family = get_gid_addr_family(gid_candidate)
    if candidate_family != gid_family and candidate_family == user_family:
        return candidate
    if candidate_family != user_family or not valid_gid(gid_candidate):
        return current
    versions = {V1: 1, V2: 2}
    version, candidate_version = versions[gid_type], versions[candidate_type]
    if (version != candidate_version or not valid_gid(gid)) and candidate_version == user_version:
        return candidate
    return current


SLOTS = st.dictionaries(
    st.integers(0, 7),
    st.tuples(
        st.sampled_from([LINK, GLOBAL, MAPPED, SECOND, LINK_LOCAL]), st.sampled_from([V1, V2])
    ),
)


@given(SLOTS)
def test_any_table_as_nccl_goes_through_it(slots: Tables) -> None:
    chosen = 0
    for candidate in range(1, 8):
        chosen = update_gid_index(slots, candidate, chosen)
    assert taken_index(gids(*((at, *slot) for at, slot in slots.items()))) == chosen
