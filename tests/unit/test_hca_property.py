"""The matcher against NCCL's C semantics, which ncclsource.py writes out."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as st

from sparkctl.fabric.hca import Device, select_hcas
from sparkctl.fabric.ifname import Interface, select_interfaces
from tests.unit.ncclsource import MAX_IB_DEVS, Search, c_nccl_find_interfaces, getifaddrs

if TYPE_CHECKING:
    from sparkctl.fabric.version import Version

NUMBERS = f"0 1 2 -1 +1 0x1 4294967297 {'9' * 20}"
HEADS = "eth ib roce rocep1s0f0 roceP2 mlx5_1 mlx5_10 enp1 enP7s7 enp1s0f0np0 lo docker0 p s0f0"
PARTS = st.sampled_from([*'^=,: ";\té', *NUMBERS.split(), *HEADS.split()])
SIGNS = st.sampled_from(["", "^", "=", "^="])
DEVICES = 'rocep1s0f0 rocep1s0f1 roceP2p1s0f0 mlx5_1 mlx5_10 a b1 abc enp1 =a ^a "a"'
NAMES = st.sampled_from([*DEVICES.split(), " a"])
ENTRIES = st.tuples(NAMES, st.sampled_from(["", ":", ":1", ":2", ":1:0", "::3", ":1:0:2:9"]))
VALUES = st.one_of(
    st.lists(PARTS, max_size=14).map("".join),
    st.text(alphabet="^=,: a1" + string.ascii_lowercase[:3], max_size=12),
    st.tuples(SIGNS, st.lists(ENTRIES.map("".join), max_size=5).map(",".join)).map("".join),
    st.lists(st.sampled_from(["a", "b1", "mlx5_1"]), min_size=30, max_size=40).map(",".join),
    st.lists(NAMES, max_size=2).map(lambda tail: ",".join([*map(str, range(31)), *tail])),
)
STATES = st.sampled_from(["ACTIVE", "ACTIVE", "DOWN"])


@given(
    VALUES | st.none(),
    st.lists(st.tuples(NAMES, st.integers(1, 2), STATES), max_size=8),
    st.booleans(),
)
@example("rocep1s0f0:", [("rocep1s0f0", 1, "ACTIVE")], False)
@example("rocep1s0f0:", [("rocep1s0f0", 1, "ACTIVE")], True)
@example("^:1", [("rocep1s0f0", 1, "ACTIVE")], True)
def test_hcas_as_nccl_selects_them(
    value: str | None, ports: list[tuple[str, int, str]], rail: bool
) -> None:
    version = (2, 30, 7) if rail else (2, 30, 4)
    found = select_hcas(value, [Device(*port) for port in ports], version)
    search = Search(value or "", MAX_IB_DEVS, rail)
    expected = [state == "ACTIVE" and search.takes(name, port) for name, port, state in ports]
    assert [v.selected for v in found.devices] == expected
    assert [v.name for v in found.devices] == [name for name, _, _ in ports]
    assert all(v.reason for v in found.devices)


INTERFACES = "lo docker0 virbr0 ib0 enp1s0f0np0 enp1s0f0np0.100 enP7s7 br-1f a b1"
LINKS = st.sampled_from([*INTERFACES.split(), *(f"eth{n}" for n in range(18))])
OF_IPV4 = ["127.0.0.1/8", "10.0.0.5/24", "10.0.1.5/24", "192.168.100.11/24"]
OF_IPV6 = ["::1/128", "fd00:1::2/64", "fe80::1/64"]
ADDRESSES = st.lists(st.sampled_from(OF_IPV4 + OF_IPV6), max_size=3, unique=True)
REMOTES = ["10.0.0.9", "192.168.100.12", "172.16.0.1", "fd00:1::9", "fd00:2::9"]
EVERY = [(f"eth{n}", True, ["10.0.0.5/24"]) for n in range(18)]


@given(
    VALUES | st.none(),
    st.lists(st.tuples(LINKS, st.booleans(), ADDRESSES), max_size=20, unique_by=lambda i: i[0]),
    st.sampled_from([(2, 20, 5), (2, 28, 2), (2, 28, 3), (2, 30, 7)]),
    st.sampled_from([None, None, "AF_INET", "AF_INET6", "inet"]),
    st.none() | st.sampled_from(REMOTES),
)
@example("eth", EVERY, (2, 30, 7), None, None)
@example(None, EVERY, (2, 30, 7), None, None)
@example(None, [("virbr0", True, ["10.0.0.5/24"])], (2, 28, 3), None, None)
@example(None, [("eth0", False, ["10.0.0.5/24"])], (2, 28, 3), "AF_INET6", "10.0.0.9")
@example(",".join(["zz"] * 15 + ["b1", "a"]), [("a", True, ["::2/8"])], (2, 28, 2), None, None)
def test_interfaces_as_nccl_selects_them(
    value: str | None,
    links: list[tuple[str, bool, list[str]]],
    version: Version,
    family: str | None,
    remote: str | None,
) -> None:
    known = [(name, up, tuple(own)) for name, up, own in links]
    found = select_interfaces(
        value,
        [Interface(name, up, bool(own), own) for name, up, own in known],
        version,
        family=family,
        comm_id=None if remote is None else f"[{remote}]:1" if ":" in remote else f"{remote}:1",
    )
    names = c_nccl_find_interfaces(value, getifaddrs(known), version, family=family, remote=remote)
    assert found.selected == names
    assert sorted(v.name for v in found.devices) == sorted(name for name, _, _ in known)
    assert all(v.reason for v in found.devices)
