"""What NCCL selects: the cases of the field, one by one."""

from __future__ import annotations

import pytest

from sparkctl.errors import UsageError
from sparkctl.fabric.grammar import IB_HCA, SOCKET_IFNAME, parse
from sparkctl.fabric.ifname import Interface, in_order, select_interfaces
from sparkctl.fabric.matcher import Device, select_hcas
from sparkctl.fabric.suspects import suspects
from sparkctl.fabric.version import parse_version

FOUR = ["rocep1s0f0", "rocep1s0f1", "roceP2p1s0f0", "roceP2p1s0f1"]
OLD, RAIL = (2, 30, 4), (2, 30, 7)


def hcas(value: str | None, names: list[str] = FOUR, version: tuple[int, ...] = RAIL) -> list[str]:
    return select_hcas(value, [Device(n) for n in names], version).selected


@pytest.mark.parametrize("version", [OLD, RAIL])
@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        *((nothing, FOUR) for nothing in (None, "", ",", "=")),
        ("rocep", FOUR[:2]),
        ("roce", FOUR),
        ("rocep1s0f0", FOUR[:1]),
        ("rocep1s0f0,roceP2p1s0f0", [FOUR[0], FOUR[2]]),
        ("roceP2p1s0f0,,rocep1s0f0,", [FOUR[0], FOUR[2]]),
        ("rocep1s0f0, roceP2p1s0f0", FOUR[:1]),
        ('"rocep1s0f0"', []),
        (" rocep1s0f0", []),
        ("rocep1s0f0;roceP2p1s0f0", []),
        ("ROCEP1S0F0", []),
        ("rocep1s0f0:1", FOUR[:1]),
        ("rocep1s0f0:2", []),
        ("rocep1s0f0:1x", FOUR[:1]),
        ("rocep1s0f0: 1", FOUR[:1]),
        ("rocep1s0f0:-1", FOUR[:1]),
        ("rocep1s0f0:4294967297", FOUR[:1]),
        (f"rocep1s0f0:{'9' * 5000}", FOUR[:1]),
        ("rocep1s0f0:4294967298", []),
        ("=rocep1s0f0", FOUR[:1]),
        ("=rocep", []),
        ("^rocep1s0f0", FOUR[1:]),
        ("^=rocep", FOUR),
        ("=^rocep1s0f0", []),
        ("^rocep1s0f0,^rocep1s0f1", FOUR[1:]),
        ("^", []),
        ("^=", []),
        ("enp1s0f0np0", []),
        ("^enp1s0f0np0", FOUR),
        (":1", FOUR),
    ],
)
def test_a_value_selects(value: str | None, wanted: list[str], version: tuple[int, ...]) -> None:
    assert hcas(value, version=version) == wanted


@pytest.mark.parametrize(
    ("value", "old", "rail"),
    [
        ("rocep1s0f0:", [], FOUR[:1]),
        ("rocep1s0f0:x", [], []),
        ("rocep1s0f0::0:1", [], FOUR[:1]),
        ("rocep1s0f0:1:3", FOUR[:1], FOUR[:1]),
    ],
)
def test_the_port_grammar_changed(value: str, old: list[str], rail: list[str]) -> None:
    assert hcas(value, version=OLD) == old
    assert hcas(value, version=RAIL) == rail


def test_a_prefix_takes_more_than_its_own_name() -> None:
    assert hcas("mlx5_1", ["mlx5_0", "mlx5_1", "mlx5_10"]) == ["mlx5_1", "mlx5_10"]
    assert hcas("=mlx5_1", ["mlx5_0", "mlx5_1", "mlx5_10"]) == ["mlx5_1"]
    virtual = ["rocep1s0f0", "rocep1s0f01", "rocep1s0f0v1"]
    assert hcas("rocep1s0f0", virtual) == virtual


def test_the_order_of_the_value_is_irrelevant() -> None:
    assert hcas("roceP2p1s0f0,rocep1s0f0") == ["rocep1s0f0", "roceP2p1s0f0"]


@pytest.mark.parametrize("value", ["rocep1s0f0", "^x", "", None])
@pytest.mark.parametrize("state", ["DOWN", "INIT", "ARMED"])
def test_a_port_that_is_not_active_is_never_taken(value: str | None, state: str) -> None:
    found = select_hcas(value, [Device("rocep1s0f0", 1, state)])
    assert found.selected == []
    assert f"{state}, not ACTIVE" in found.devices[0].reason


def test_only_the_first_entries_count() -> None:
    value = ",".join(f"x{n}" for n in range(32)) + ",rocep1"
    found = select_hcas(value, [Device("rocep1s0f0")])
    assert found.selected == []
    assert "beyond the first 32" in found.devices[0].reason
    assert "only the first 32 entries are read: rocep1 are not" in found.warnings
    value = "^" + ",".join(f"x{n}" for n in range(16)) + ",enp1"
    assert select_interfaces(value, [Interface("enp1s0f0np0")]).selected == ["enp1s0f0np0"]
    assert hcas("^" + ",".join(f"x{n}" for n in range(31)) + ",rocep1") == FOUR[2:]
    assert len(parse(",".join("abc"), 2).entries) == 2


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("rocep1s0f0:2", "its port is not 2 but 1"),
        ("ROCEP1S0F0", "by case"),
        ('"rocep1s0f0"', "is one name for NCCL, with its space, quote"),
        ("roceP2p1s0f0;rocep1s0f0", "is one name for NCCL"),
        ("=rocep1", "only its beginning"),
        ("mlx5_0", "no entry matches"),
        ("^rocep", "excluded by ^: its name begins with rocep"),
        ("^=rocep1s0f0", "excluded by ^: its name is rocep1s0f0"),
        ("^", "excludes everything"),
    ],
)
def test_the_reason_tells_mistakes_apart(value: str, said: str) -> None:
    assert said in select_hcas(value, [Device("rocep1s0f0")]).devices[0].reason


LINKS = ("enP7s7", "enp1s0f0np0", "enp1s0f1np1", "enP2p1s0f0np0", "lo", "docker0", "virbr0")
UP = [Interface(name) for name in LINKS]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("enp1", ["enp1s0f0np0", "enp1s0f1np1"]),
        ("enP", ["enP7s7", "enP2p1s0f0np0"]),
        ("=enp1s0f0np0", ["enp1s0f0np0"]),
        ("enp1s0f0np0:7", ["enp1s0f0np0"]),
        ("^en", ["lo", "docker0", "virbr0"]),
        ("eth0", []),
        ("=enp1s0f0", []),
        ("^=", []),
        (",,", [*LINKS]),
        (None, ["enP7s7", "enp1s0f0np0", "enp1s0f1np1", "enP2p1s0f0np0"]),
        ("", ["enP7s7", "enp1s0f0np0", "enp1s0f1np1", "enP2p1s0f0np0"]),
        *((c, ["enP7s7", "enp1s0f0np0", "enp1s0f1np1", "enP2p1s0f0np0"]) for c in "e^=,"),
    ],
)
def test_interfaces_are_selected(value: str | None, wanted: list[str]) -> None:
    assert select_interfaces(value, UP).selected == wanted


def test_a_vlan_is_taken_by_its_parents_name() -> None:
    links = [Interface("enp1s0f0np0"), Interface("enp1s0f0np0.100")]
    assert select_interfaces("enp1s0f0np0", links).selected == ["enp1s0f0np0", "enp1s0f0np0.100"]


def test_carrier_counts_from_2_28_3() -> None:
    links = [Interface("enp1s0f0np0", up=False)]
    assert select_interfaces("enp1", links, (2, 28, 2)).selected == ["enp1s0f0np0"]
    found = select_interfaces("enp1", links, (2, 28, 3))
    assert found.selected == []
    assert "running" in found.devices[0].reason
    assert select_interfaces("enp1", [Interface("enp1", addressed=False)]).selected == []


def test_unset_takes_ib_first_and_docker_and_lo_last() -> None:
    def unset(*names: str, version: tuple[int, ...] = RAIL) -> list[str]:
        return select_interfaces(None, [Interface(n) for n in names], version).selected

    assert unset("eth0", "ib0", "lo") == ["ib0"]
    assert unset("docker0", "eth0", "br-1", "tailscale0") == ["eth0", "br-1", "tailscale0"]
    assert unset("virbr0", "docker0", version=(2, 28, 2)) == ["virbr0"]
    assert unset("virbr0", "docker0", version=(2, 28, 3)) == ["docker0"]
    assert unset("lo", "docker0") == ["docker0"]
    assert unset("lo") == ["lo"]


def test_unset_the_subnet_of_the_comm_id_comes_after_ib() -> None:
    links = [
        Interface("enP7s7", addresses=("10.0.0.5/24", "fe80::1/64")),
        Interface("enp1s0f0np0", addresses=("192.168.100.11/24",)),
        Interface("enp1s0f1np1", addresses=("fd00:1::2/64",)),
    ]

    def unset(comm_id: str, *more: Interface) -> list[str]:
        return select_interfaces(None, [*links, *more], comm_id=comm_id).selected

    assert unset("192.168.100.12:4711") == ["enp1s0f0np0"]
    assert unset("[fd00:1::9]:4711") == ["enp1s0f1np1"]
    assert unset("192.168.100.12:4711", Interface("ib0")) == ["ib0"]
    for says_nothing in ("172.16.0.1:1", "spark-1:4711", "192.168.100.12", "300.1.1.1:1", ""):
        assert unset(says_nothing) == ["enP7s7", "enp1s0f0np0", "enp1s0f1np1"]
    told = select_interfaces("enP7s7", links, comm_id="192.168.100.12:4711")
    assert told.selected == ["enP7s7"]


def test_the_bootstrap_takes_the_first_and_the_sockets_sixteen() -> None:
    found = select_interfaces("eth", [Interface(f"eth{n}") for n in range(20)])
    assert len(found.selected) == 16
    assert [v.name for v in found.devices if "bootstrap takes it alone" in v.reason] == ["eth0"]
    assert "beyond the first 16" in found.devices[16].reason


def test_ipv4_comes_before_ipv6_whatever_the_kernels_index() -> None:
    links = [Interface("a", addresses=("fe80::1/64",)), Interface("b", addresses=("10.0.0.1/8",))]
    assert [i.name for i in in_order(links)] == ["b", "a"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("enp1s0f0np0", "enp1s0f0np0 is a network interface"),
        ("enp1s0f0", "enp1s0f0 is a network interface"),
        ("enp9s0", "looks like a network interface"),
        ("rocep1s0f0, rocep1s0f1", "a space"),
        ("'rocep1s0f0'", "a quote"),
        ("rocep1s0f0;rocep1s0f1", "commas"),
        ("ROCEP1S0F0", "differs by case from rocep1s0f0"),
        ("^rocep1s0f0,^rocep1s0f1", "^ counts once"),
        ("rocep1s0f0,=rocep1s0f1", "= counts once"),
        ("=^rocep1s0f0", "only ^= is understood"),
        ("^", "^ without names selects nothing"),
        ("mlx5_0", "mlx5_0 matches nothing here"),
    ],
)
def test_likely_mistakes_are_told(value: str, said: str) -> None:
    assert any(said in hint for hint in suspects(IB_HCA, value, FOUR, ["enp1s0f0np0"]))
    devices = [Device(n) for n in FOUR]
    assert any(said in w for w in select_hcas(value, devices, netdevs=["enp1s0f0np0"]).warnings)


def test_likely_mistakes_in_the_interfaces_are_told() -> None:
    assert "one character" in suspects(SOCKET_IFNAME, "e", LINKS)[0]
    assert "is an RDMA device" in suspects(SOCKET_IFNAME, FOUR[0], LINKS, FOUR)[0]
    assert "looks like an RDMA device" in suspects(SOCKET_IFNAME, "mlx5_0", LINKS)[0]
    vlan = suspects(SOCKET_IFNAME, "enp1s0f0np0", ["enp1s0f0np0", "enp1s0f0np0.100"])
    assert "takes enp1s0f0np0.100 as well" in vlan[0]
    many = ",".join(["enp1"] * 17)
    assert suspects(SOCKET_IFNAME, many, LINKS) == [
        "only the first 16 entries are read: enp1 are not"
    ]
    assert suspects(SOCKET_IFNAME, "enp1s0f0np0", LINKS, FOUR) == []


def test_a_greedy_prefix_is_told_and_a_good_value_is_not() -> None:
    assert "mlx5_10" in suspects(IB_HCA, "mlx5_1", ["mlx5_1", "mlx5_10"])[0]
    assert suspects(IB_HCA, "rocep1s0f0,roceP2p1s0f0", FOUR, ["enp1s0f0np0"]) == []
    assert suspects(IB_HCA, "^=rocep1s0f0", FOUR) == []
    assert suspects(IB_HCA, "", FOUR, ["enp1s0f0np0"]) == []


def test_versions() -> None:
    assert parse_version("2.28.9") == (2, 28, 9)
    for wrong in ("", "2", "2.x", "2.28.9+cu13", "v2.28", "2.28.9.1"):
        with pytest.raises(UsageError) as told:
            parse_version(wrong)
        assert told.value.hint
