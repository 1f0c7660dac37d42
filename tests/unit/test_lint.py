"""The likely mistakes in a value, which NCCL takes without a word."""

from __future__ import annotations

import pytest

from sparkctl.fabric.grammar import IB_HCA, SOCKET_IFNAME
from sparkctl.fabric.hca import Device, select_hcas
from sparkctl.fabric.ifname import Interface, select_interfaces
from sparkctl.fabric.lint import suspects

FOUR = ["rocep1s0f0", "rocep1s0f1", "roceP2p1s0f0", "roceP2p1s0f1"]
LINKS = ["enP7s7", "enp1s0f0np0", "lo"]


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
        ("=ROCEP1S0F0", "differs by case from rocep1s0f0"),
        ("=rocep1s0", "rocep1s0 is only the beginning of rocep1s0f0: = takes whole names"),
        ("=ROCEP1S0", "ROCEP1S0 matches nothing here"),
        ("^rocep1s0f0,^rocep1s0f1", "^ counts once"),
        ("rocep1s0f0,=rocep1s0f1", "= counts once"),
        ("=^rocep1s0f0", "only ^= is understood"),
        *((v, f"{v} without names selects nothing") for v in ("^", "^=", "^,", "^=,,", "^:1")),
        ("mlx5_0", "mlx5_0 matches nothing here"),
    ],
)
def test_likely_mistakes_are_told(value: str, said: str) -> None:
    assert any(said in hint for hint in suspects(IB_HCA, value, FOUR, ["enp1s0f0np0"]))
    devices = [Device(n) for n in FOUR]
    assert any(said in w for w in select_hcas(value, devices, netdevs=["enp1s0f0np0"]).warnings)


@pytest.mark.parametrize("value", ["e", "=", "^", ",", " "])
def test_one_character_is_told_as_unset_for_interfaces_alone(value: str) -> None:
    found = select_interfaces(value, [Interface(n) for n in LINKS])
    assert found.warnings == (f"{value!r} has one character, which NCCL takes as unset",)
    assert not any("one character" in w for w in suspects(IB_HCA, value, FOUR))


def test_likely_mistakes_in_the_interfaces_are_told() -> None:
    assert suspects(SOCKET_IFNAME, "^,", LINKS) == ["^, without names selects nothing"]
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
