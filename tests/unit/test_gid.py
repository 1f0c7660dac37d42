"""Which GID NCCL takes, and how it reads numbers."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.fabric.gid import Gid, table, taken, taken_index
from sparkctl.fabric.ncclparam import leading_int, number

LINK = "fe80:0000:0000:0000:4ebb:47ff:fe00:0100"
MAPPED = "0000:0000:0000:0000:0000:ffff:c0a8:640b"


def gids(*slots: tuple[int, str, str]) -> list[Gid]:
    facts: list[dict[str, Any]] = [
        {"index": index, "gid": gid, "type": kind, "ndev": "enp1s0f0np0"}
        for index, gid, kind in slots
    ]
    return table(facts)


MLX5 = gids((0, LINK, "IB/RoCE v1"), (1, LINK, "RoCE v2"), (2, MAPPED, "IB/RoCE v1"),
            (3, MAPPED, "RoCE v2"))  # fmt: skip


def test_the_first_roce_v2_of_an_ipv4_address_is_taken() -> None:
    found = taken(MLX5)
    assert found is not None
    assert (found.index, found.ipv4, found.usable) == (3, "192.168.100.11", True)
    assert (found.family, found.kind, found.ndev) == ("IPv4", "RoCE v2", "enp1s0f0np0")


def test_a_link_local_ipv4_counts() -> None:
    found = taken(gids((0, LINK, "RoCE v2"), (1, "::ffff:169.254.3.4", "RoCE v2")))
    assert found is not None
    assert found.index == 1


def test_without_ipv4_it_stays_at_the_first_slot() -> None:
    found = taken(MLX5[:2])
    assert found is not None
    assert (found.index, found.usable, found.family) == (0, False, "IPv6")
    assert taken([]) is None
    assert taken_index([]) == 0


def test_soft_roce_and_holes() -> None:
    rxe = gids((0, LINK, "RoCE v2"), (1, MAPPED, "RoCE v2"))
    assert taken_index(rxe) == 1
    moved = gids((7, MAPPED, "RoCE v2"), (2, LINK, "RoCE v2"), (5, MAPPED, "IB/RoCE v1"))
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
    ("text", "wanted"),
    [("1", 1), ("true", 0), ("", 0), ("0x10", 16), ("010", 8), ("08", 0), (" -3 x", -3),
     ("+5", 5), ("0x", 0), ("1,2", 1)],
)  # fmt: skip
def test_numbers_as_strtoll_reads_them(text: str, wanted: int) -> None:
    assert number(text) == wanted


LONG = st.one_of(
    st.text(alphabet=" \t+-0123456789abcdefxX.", max_size=12),
    st.integers(-(2**65), 2**65).map(str),
    st.integers(0, 2**65).map(hex),
)


@given(LONG)
def test_numbers_as_the_c_library_reads_them(text: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.strtoll.restype = ctypes.c_longlong
    ctypes.set_errno(0)
    wanted = libc.strtoll(text.encode(), None, 0)
    assert number(text, default=-7) == (-7 if ctypes.get_errno() else wanted)
    assert leading_int(text) == libc.atoi(text.encode())


def test_a_number_of_any_length_is_read() -> None:
    assert number("9" * 5000, default=-1) == -1
    assert number("0x" + "f" * 5000, default=-1) == -1
    assert leading_int("9" * 5000) == -1
    assert leading_int("-" + "9" * 5000) == 0
