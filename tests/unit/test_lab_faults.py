"""The table of faults, and the pure part of injecting them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sparkctl.lab.faults import journal
from sparkctl.lab.faults.fault import INVENTORY, Fault
from sparkctl.lab.faults.journal import LAB, Active, Undo
from sparkctl.lab.faults.settled import unsettled
from sparkctl.lab.faults.table import FAULTS
from sparkctl.lab.spec import HALVES
from tests.refused import refused

if TYPE_CHECKING:
    from pathlib import Path

# The names that scripts and the doctor's test use.
NAMES = """
half-down half-without-address one-subnet link-local wrong-address halves-renamed address-volatile
mtu-1500 other-cage firewall packet-loss no-route
hca-renamed pcie-width-2 half-slow loss-counters no-rdma gid-index-hole uverbs-missing
uverbs-denied no-libibverbs memlock-64k memlock-later hca-netdev-name hca-space hca-quotes nccl-conf
ib-disabled-profile file-hangs ray-version
model-missing model-truncated dangling-links disk-full memory-low clock-skew kho-kernel
driver-590 gpu-hangs driver-mismatch no-nvidia-smi low-clocks gpu-spins nvrm-no-memory
port-taken foreign-ray leftover ssh-down ssh-slow host-key-changed ray-on-management api-wedged
nccl-build nccl-graphs
"""


def test_the_names_are_a_contract() -> None:
    assert list(FAULTS) == NAMES.split()


@pytest.mark.parametrize("fault", FAULTS.values(), ids=lambda f: f.name)
def test_each_is_described_in_one_line_and_names_what_it_touches(fault: Fault) -> None:
    assert 10 < len(fault.happens) < 90
    assert "\n" not in fault.happens
    assert fault.touches
    assert fault.shared(fault, same_node=True)


def fault(*touches: str) -> Fault:
    return Fault("any", "any", lambda _: None, touches)


@pytest.mark.parametrize(
    ("mine", "theirs", "same_node", "shared"),
    [
        (["a"], ["a"], True, "a"),
        (["a"], ["a"], False, None),
        (["a"], ["b"], True, None),
        (["rdma"], ["rdma/rate"], True, "rdma/rate"),
        (["x", "rdma/rate"], ["rdma"], True, "rdma/rate"),
        (["rdma/rate"], ["rdma/rates"], True, None),
        ([INVENTORY], [INVENTORY, "b"], False, INVENTORY),
    ],
)
def test_places_are_shared_by_nesting(
    mine: list[str], theirs: list[str], same_node: bool, shared: str | None
) -> None:
    assert fault(*mine).shared(fault(*theirs), same_node=same_node) == shared


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("memory-low", "kho-kernel"),
        ("driver-590", "gpu-hangs"),
        ("no-rdma", "uverbs-denied"),
        ("no-rdma", "half-slow"),
        ("half-down", "other-cage"),
        ("no-route", "half-down"),
        ("one-subnet", "half-without-address"),
        ("gid-index-hole", "half-without-address"),
        ("ssh-down", "host-key-changed"),
    ],
)
def test_faults_of_the_same_thing_are_not_active_together(one: str, other: str) -> None:
    assert FAULTS[one].shared(FAULTS[other], same_node=True)
    assert not FAULTS[one].shared(FAULTS["nccl-conf"], same_node=True)


def test_the_journal_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert journal.read(tmp_path) == []
    active = [
        Active("a", "spark-2", [Undo("spark-2", ("ip", "link"), "text"), Undo(LAB, ("mv",))]),
        Active("b", "spark-1"),
    ]
    journal.write(tmp_path, active)
    assert journal.read(tmp_path) == active
    journal.write(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


def test_a_journal_of_the_release_before_has_no_schema_number(tmp_path: Path) -> None:
    undo = {"on": "spark-2", "argv": ["ip", "link"], "text": ""}
    entries = [{"fault": "a", "node": "spark-2", "undo": [undo]}]
    (tmp_path / journal.FILE).write_text(json.dumps(entries))
    assert journal.read(tmp_path) == [Active("a", "spark-2", [Undo("spark-2", ("ip", "link"))])]


@pytest.mark.parametrize("schema", [2, 0, "1", None])
def test_a_journal_of_an_unknown_schema_is_refused_and_kept(
    tmp_path: Path, schema: int | str | None
) -> None:
    text = json.dumps({"schema": schema, "active": []})
    (tmp_path / journal.FILE).write_text(text)
    with refused("lab-schema-unknown") as caught:
        journal.read(tmp_path)
    assert caught.value.data["schema"] == json.dumps(schema)
    assert "the sparkctl that made the lab" in (caught.value.hint or "")  # what to do
    assert (tmp_path / journal.FILE).read_text() == text


@pytest.mark.parametrize("text", ["", "{", '{"schema": 1}', '[{"fault": "a"}]', '"text"', "5"])
def test_a_damaged_journal_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    (tmp_path / journal.FILE).write_text(text)
    with refused("lab-file-damaged"):
        journal.read(tmp_path)
    assert (tmp_path / journal.FILE).read_text() == text


NAME = HALVES[0].interface


@pytest.mark.parametrize(
    ("flags", "operstate", "addresses", "device", "expected"),
    [
        ("UP LOWER_UP", "UP", 1, f"{NAME} 2 4: ACTIVE", None),
        ("UP LOWER_UP", "UP", 1, "", None),  # no device: nothing to follow
        ("UP LOWER_UP", "DOWN", 1, f"{NAME} 2 4: ACTIVE", f"{NAME} is still DOWN"),
        ("UP", "UP", 1, f"{NAME} 2 1: DOWN", f"{NAME} is still UP"),
        ("UP", "LOWERLAYERDOWN", 1, f"{NAME} 2 1: DOWN", None),
        ("", "DOWN", 0, f"{NAME} 0 1: DOWN", None),
        ("", "DOWN", 0, f"{NAME} 0 4: ACTIVE", "RDMA device"),
        ("UP LOWER_UP", "UP", 0, f"{NAME} 2 4: ACTIVE", "RDMA device"),
    ],
)
def test_a_node_is_settled_when_sysfs_follows_the_kernel_else_it_says_what_lags(
    flags: str, operstate: str, addresses: int, device: str, expected: str | None
) -> None:
    link = {
        "ifname": NAME,
        "link_type": "ether",
        "flags": flags.split(),
        "operstate": operstate,
        "addr_info": [
            *[{"family": "inet", "local": "192.168.100.12"}] * addresses,
            {"family": "inet6", "local": "fe80::1"},
        ],
    }
    loopback = {**link, "ifname": "lo", "link_type": "loopback", "operstate": "UNKNOWN"}
    problem = unsettled(f"{json.dumps([loopback, link])}\n{device}", 2)
    assert problem is None if expected is None else expected in (problem or "")
