"""The likely mistakes in a value, which NCCL accepts silently."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.fabric.grammar import IB_HCA, SOCKET_IFNAME
from sparkctl.fabric.hca import Device, select_hcas
from sparkctl.fabric.ifname import Interface, select_interfaces
from sparkctl.fabric.lint import lint_value

if TYPE_CHECKING:
    from collections.abc import Sequence

FOUR = ["rocep1s0f0", "rocep1s0f1", "roceP2p1s0f0", "roceP2p1s0f1"]
LINKS = ["enP7s7", "enp1s0f0np0", "lo"]


def codes(variable: str, value: str, names: Sequence[str], others: Sequence[str] = ()) -> list[str]:
    return [doubt.code for doubt in lint_value(variable, value, names, others)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("enp1s0f0np0", ["other-kind"]),
        ("enp1s0f0", ["other-kind"]),
        ("enp9s0", ["other-kind"]),
        ("rocep1s0f0, rocep1s0f1", ["space-in-name", "no-match"]),
        ("'rocep1s0f0'", ["quote-in-name", "no-match"]),
        ("rocep1s0f0;rocep1s0f1", ["semicolon", "no-match"]),
        ("ROCEP1S0F0", ["case"]),
        ("=ROCEP1S0F0", ["case"]),
        ("=rocep1s0", ["partial-name"]),
        ("=ROCEP1S0", ["no-match"]),
        ("^rocep1s0f0,^rocep1s0f1", ["caret-position", "no-match"]),
        ("rocep1s0f0,=rocep1s0f1", ["equals-position", "no-match"]),
        ("=^rocep1s0f0", ["caret-position", "no-match"]),
        ("==rocep1s0f0", ["equals-position", "no-match"]),
        *((v, ["nothing-selected"]) for v in ("^", "^=", "^,", "^=,,", "^:1")),
        ("mlx5_0", ["no-match"]),
    ],
)
def test_likely_mistakes_have_codes(value: str, expected: list[str]) -> None:
    netdevs = ["enp1s0f0np0"]
    assert codes(IB_HCA, value, FOUR, netdevs) == expected
    found = select_hcas(value, [Device(n) for n in FOUR], netdevs=netdevs)
    assert [doubt.code for doubt in found.doubts] == expected
    assert found.warnings == [doubt.text for doubt in found.doubts]


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("enp1s0f0", {"name": "enp1s0f0"}),
        ("=rocep1s0", {"name": "rocep1s0", "whole": "rocep1s0f0"}),
        ("=ROCEP1S0F0", {"name": "ROCEP1S0F0", "like": "rocep1s0f0"}),
        ("^,", {"value": "^,"}),
        ("mlx5_0", {"name": "mlx5_0"}),
    ],
)
def test_a_doubt_names_what_it_is_about(value: str, data: dict[str, str]) -> None:
    (doubt,) = lint_value(IB_HCA, value, FOUR, ["enp1s0f0np0"])
    assert doubt.data == data
    assert all(text in doubt.text for text in data.values())


@pytest.mark.parametrize("value", ["e", "=", "^", ",", " "])
def test_one_character_counts_as_unset_for_interfaces_alone(value: str) -> None:
    found = select_interfaces(value, [Interface(n) for n in LINKS])
    assert [(d.code, d.data) for d in found.doubts] == [("one-character", {"value": value})]
    assert "one-character" not in codes(IB_HCA, value, FOUR)


def test_likely_mistakes_in_the_interfaces() -> None:
    assert codes(SOCKET_IFNAME, "^,", LINKS) == ["nothing-selected"]
    assert codes(SOCKET_IFNAME, FOUR[0], LINKS, FOUR) == ["other-kind"]
    assert codes(SOCKET_IFNAME, "mlx5_0", LINKS) == ["other-kind"]
    (vlan,) = lint_value(SOCKET_IFNAME, "enp1s0f0np0", ["enp1s0f0np0", "enp1s0f0np0.100"])
    assert (vlan.code, vlan.data["also"]) == ("prefix-takes-more", ["enp1s0f0np0.100"])
    (many,) = lint_value(SOCKET_IFNAME, ",".join(["enp1"] * 17), LINKS)
    assert (many.code, many.data) == ("beyond-limit", {"limit": 16, "ignored": ["enp1"]})
    assert codes(SOCKET_IFNAME, "enp1s0f0np0", LINKS, FOUR) == []


def test_a_greedy_prefix_is_doubtful_and_a_good_value_is_not() -> None:
    (greedy,) = lint_value(IB_HCA, "mlx5_1", ["mlx5_1", "mlx5_10"])
    assert greedy.data == {"name": "mlx5_1", "also": ["mlx5_10"]}
    assert codes(IB_HCA, "mlx5_1", ["mlx5_1", "mlx5_1"]) == [], "a device with two ports"
    assert codes(IB_HCA, "rocep1s0f0,roceP2p1s0f0", FOUR, ["enp1s0f0np0"]) == []
    assert codes(IB_HCA, "^=rocep1s0f0", FOUR) == []
    assert codes(IB_HCA, "", FOUR, ["enp1s0f0np0"]) == []
