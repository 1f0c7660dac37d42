"""The table of faults, and the pure part of injecting them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.lab.faults import journal, undos
from sparkctl.lab.faults.fault import INVENTORY, Fault
from sparkctl.lab.faults.journal import Active
from sparkctl.lab.faults.settled import unsettled
from sparkctl.lab.faults.table import FAULTS
from sparkctl.lab.spec import HALVES
from sparkctl.node.entries import new
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
    active = [Active("a", "spark-2"), Active("a", "spark-1"), Active("b", "spark-2")]
    for number, each in enumerate((*active, *active)):
        each.record(each.entry("link-mtu", interface="x", mtu=number))
    last = active[2].undo[1]
    active[2].record(last._replace(done=True))
    journal.write(tmp_path, active)
    assert journal.read(tmp_path) == active
    assert [e.done for e in journal.read(tmp_path)[2].undo] == [False, True]
    journal.write(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


def test_the_commands_of_an_older_release_are_not_executed(tmp_path: Path) -> None:
    undo = {"on": "spark-2", "argv": ["ip", "link"], "text": ""}
    entries = [{"fault": "a", "node": "spark-2", "undo": [undo]}]
    (tmp_path / journal.OLDER).write_text(json.dumps({"schema": 1, "active": entries}))
    with refused("lab-journal-old") as caught:
        journal.read(tmp_path)
    assert "sparkctl lab down" in (caught.value.hint or "")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_journal_that_others_can_write_is_refused(tmp_path: Path) -> None:
    active = Active("a", "spark-2")
    active.record(active.entry("unmount", path="/etc"))
    journal.write(tmp_path, [active])
    for owner, mode in ((0, 0o666), (65534, 0o600)):
        os.chown(tmp_path / journal.FILE, owner, 0)
        (tmp_path / journal.FILE).chmod(mode)
        with refused("lab-journal-refused"):
            journal.read(tmp_path)


PLANTED = [
    ("sh", {"argv": ["touch", "/tmp/x"]}),
    ("remove", {"path": "/"}),
    ("remove", {"path": "/run/sparkctl-lab/faults/.."}),
    ("unmount", {"path": "/tmp/../etc"}),
    ("unmount", {"path": "--all"}),
    ("write", {"path": "/etc/passwd", "text": "x"}),
    ("write", {"path": "/sys/../etc/passwd", "text": "x"}),
    ("resize", {"path": "/tmp", "kib": "1,exec"}),
    ("address", {"address": "1.2.3.4/24 dev lo", "interface": "x", "present": True}),
    ("link-mtu", {"interface": "x", "mtu": 9000, "argv": "x"}),
    ("delete-rules", {"table": "filter"}),
    ("continue", {"pids": [-1]}),
    ("exchange-links", {"names": ["a"], "index": 1}),
    ("rejoin-ray", {"mark": "x"}),
    ("restore-inventory", {"path": "/etc/passwd"}),
]


@pytest.mark.parametrize(("name", "data"), PLANTED)
def test_what_the_table_does_not_have_is_never_executed(name: str, data: Any) -> None:
    class Never:
        def __getattr__(self, attribute: str) -> Any:
            pytest.fail(f"{name} uses .{attribute}")

    never: Any = Never()
    with pytest.raises(ValueError, match=r"unknown undo|malformed data"):
        undos.run(never, never, name, data)


@pytest.mark.parametrize("schema", [2, 0, "1", None])
def test_a_journal_of_an_unknown_schema_is_refused_and_kept(
    tmp_path: Path, schema: int | str | None
) -> None:
    text = json.dumps({"schema": schema, "entries": []})
    (tmp_path / journal.FILE).write_text(text)
    with refused("lab-schema-unknown") as caught:
        journal.read(tmp_path)
    assert caught.value.data["schema"] == json.dumps(schema)
    assert "the sparkctl that made the lab" in (caught.value.hint or "")  # what to do
    assert (tmp_path / journal.FILE).read_text() == text


OTHERS = json.dumps(
    {"schema": 1, "entries": [new("fix", "unmount", {"path": "/etc"}, "a fix")._asdict()]}
)


@pytest.mark.parametrize(
    "text", ["", "{", '{"schema": 1}', '[{"fault": "a"}]', OTHERS, '"text"', "5"]
)
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
