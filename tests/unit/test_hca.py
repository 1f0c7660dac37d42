"""Which RDMA devices NCCL takes: the cases of the field, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.fabric.grammar import parse
from sparkctl.fabric.hca import Device, select_hcas

if TYPE_CHECKING:
    from sparkctl.errors import Data

FOUR = ["rocep1s0f0", "rocep1s0f1", "roceP2p1s0f0", "roceP2p1s0f1"]
OLD, RAIL = (2, 30, 4), (2, 30, 7)


def hcas(value: str | None, names: list[str] = FOUR, version: tuple[int, ...] = RAIL) -> list[str]:
    return select_hcas(value, [Device(n) for n in names], version).selected


@pytest.mark.parametrize("version", [OLD, RAIL])
@pytest.mark.parametrize(
    ("value", "selected"),
    [
        *((nothing, FOUR) for nothing in (None, "", ",", "=")),
        ("rocep", FOUR[:2]),
        ("roce", FOUR),
        ("rocep1s0f0", FOUR[:1]),
        ("rocep1s0f0,roceP2p1s0f0", [FOUR[0], FOUR[2]]),
        ("roceP2p1s0f0,,rocep1s0f0,", [FOUR[0], FOUR[2]]),
        ("rocep1s0f0, roceP2p1s0f0", FOUR[:1]),
        ('"rocep1s0f0"', []),
        ("'rocep1s0f0'", []),
        (" rocep1s0f0", []),
        ("rocep1s0f0 ", []),
        ("rocep1s0f0;roceP2p1s0f0", []),
        ("ROCEP1S0F0", []),
        ("rocep1s0f0:1", FOUR[:1]),
        ("rocep1s0f0:2", []),
        ("rocep1s0f0:1x", FOUR[:1]),
        ("rocep1s0f0: 1", FOUR[:1]),
        ("rocep1s0f0:-1", FOUR[:1]),
        ("rocep1s0f0:+1", FOUR[:1]),
        ("rocep1s0f0:01", FOUR[:1]),
        ("rocep1s0f0:1.5", FOUR[:1]),
        ("rocep1s0f0:0x1", []),
        ("rocep1s0f0:4294967295", FOUR[:1]),
        ("rocep1s0f0:4294967297", FOUR[:1]),
        (f"rocep1s0f0:{'9' * 5000}", FOUR[:1]),
        ("rocep1s0f0:4294967298", []),
        ("=rocep1s0f0", FOUR[:1]),
        ("=rocep", []),
        ("^rocep1s0f0", FOUR[1:]),
        ("^=rocep", FOUR),
        ("=^rocep1s0f0", []),
        ("==rocep1s0f0", []),
        ("^==rocep1s0f0", FOUR),
        ("^^rocep1s0f0", FOUR),
        (" ^rocep1s0f0", []),
        ("=rocep1s0f0,roceP2p1s0f0", [FOUR[0], FOUR[2]]),
        ("=rocep1s0f0,=roceP2p1s0f0", FOUR[:1]),
        ("^rocep1s0f0,^rocep1s0f1", FOUR[1:]),
        *((nothing, []) for nothing in ("^", "^=", "^,", "^=,,", "^:1")),
        ("enp1s0f0np0", []),
        ("^enp1s0f0np0", FOUR),
        (":1", FOUR),
    ],
)
def test_a_value_selects(value: str | None, selected: list[str], version: tuple[int, ...]) -> None:
    assert hcas(value, version=version) == selected


@pytest.mark.parametrize(
    ("value", "old", "rail"),
    [
        ("rocep1s0f0:", [], FOUR[:1]),
        ("rocep1s0f0:x", [], []),
        ("rocep1s0f0::0:1", [], FOUR[:1]),
        ("rocep1s0f0:1:3", FOUR[:1], FOUR[:1]),
        ("rocep1s0f0:2:1", [], []),
        ("rocep1s0f0:1:::", FOUR[:1], FOUR[:1]),
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
    assert found.devices[0].code == "not-active"
    assert found.devices[0].data == {"port": 1, "state": state}


def test_only_the_first_entries_count() -> None:
    value = ",".join(f"x{n}" for n in range(32)) + ",rocep1"
    found = select_hcas(value, [Device("rocep1s0f0")])
    assert found.selected == []
    assert (found.devices[0].code, found.devices[0].data) == ("beyond-limit", {"limit": 32})
    doubt = next(d for d in found.doubts if d.code == "beyond-limit")
    assert doubt.data == {"limit": 32, "ignored": ["rocep1"]}
    assert hcas("^" + ",".join(f"x{n}" for n in range(31)) + ",rocep1") == FOUR[2:]
    assert len(parse(",".join("abc"), 2).entries) == 2


@pytest.mark.parametrize(
    ("value", "code", "data"),
    [
        ("rocep1s0f0:2", "wrong-port", {"entry": "rocep1s0f0", "port": 1}),
        ("ROCEP1S0F0", "case", {"entry": "ROCEP1S0F0"}),
        ('"rocep1s0f0"', "quoted", {"entry": '"rocep1s0f0"'}),
        ("roceP2p1s0f0;rocep1s0f0", "quoted", {"entry": "roceP2p1s0f0;rocep1s0f0"}),
        ("=rocep1", "prefix-only", {"entry": "rocep1"}),
        ("=ROCEP1S0F0", "case", {"entry": "ROCEP1S0F0"}),
        ("^mlx5", "selected", {}),
        ("", "selected", {}),
        ("rocep", "selected", {"entry": "rocep"}),
        ("mlx5_0", "no-match", {}),
        ("mlx5_0,=x,ROCEP", "case", {"entry": "ROCEP"}),
        ("^rocep", "excluded", {"entry": "rocep"}),
        ("^=rocep1s0f0", "excluded", {"entry": "rocep1s0f0"}),
        *((v, "excluded", {}) for v in ("^", "^=", "^,")),
    ],
)
def test_the_code_tells_mistakes_apart(value: str, code: str, data: Data) -> None:
    (verdict,) = select_hcas(value, [Device("rocep1s0f0")]).devices
    assert (verdict.code, verdict.data) == (code, data)


def test_a_port_of_a_device_that_has_two() -> None:
    devices = [Device("mlx5_0", 1), Device("mlx5_0", 2), Device("mlx5_1", 1)]

    def taken(value: str) -> list[bool]:
        return [v.selected for v in select_hcas(value, devices).devices]

    assert taken("mlx5_0:2") == [False, True, False]
    assert taken("^mlx5_0:2") == [True, False, True]


def test_the_document() -> None:
    found = select_hcas("rocep1s0f0", [Device("rocep1s0f0"), Device("rocep1s0f1")])
    assert found.document() == {
        "value": "rocep1s0f0",
        "selected": ["rocep1s0f0"],
        "devices": [
            {
                "name": "rocep1s0f0",
                "selected": True,
                "code": "selected",
                "reason": "its name is rocep1s0f0",
                "data": {"entry": "rocep1s0f0"},
            },
            {
                "name": "rocep1s0f1",
                "selected": False,
                "code": "no-match",
                "reason": "no entry matches",
                "data": {},
            },
        ],
        "warnings": [],
        "doubts": [],
    }
