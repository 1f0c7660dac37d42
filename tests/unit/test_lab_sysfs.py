"""The imitated RDMA devices as text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sparkctl.lab import sysfs
from sparkctl.lab.hardware import CONNECTX_7, HARDWARE, SOFT_ROCE, Hardware
from sparkctl.lab.spec import HALVES, NodeSpec
from sparkctl.node.portcounters import LOSS

NODE = NodeSpec(3, Path("/lab"), "10.77.0")
HALF = HALVES[1]
PORT = f"{CONNECTX_7.device_folder(HALF)}/ports/1"
SOFT = replace(NODE, hardware=SOFT_ROCE)
MAC = "4c:bb:47:00:03:01"


def live(*, up: bool, carrier: bool, ipv4: tuple[str, ...] = ()) -> sysfs.Entries:
    state = sysfs.LinkState(MAC, up, carrier, ipv4)
    return sysfs.speed(HALF, state) | sysfs.port(CONNECTX_7, HALF, state)


@pytest.mark.parametrize(
    ("up", "carrier", "state", "phys_state", "speed"),
    [
        (True, True, "4: ACTIVE", "5: LinkUp", "200000"),
        (True, False, "1: DOWN", "2: Polling", "200000"),
        (False, False, "1: DOWN", "3: Disabled", sysfs.Link(sysfs.UNREADABLE)),
    ],
)
def test_states_follow_the_link(
    up: bool, carrier: bool, state: str, phys_state: str, speed: str | sysfs.Link
) -> None:
    entries = live(up=up, carrier=carrier)
    assert (entries[f"{PORT}/state"], entries[f"{PORT}/phys_state"]) == (state, phys_state)
    assert entries["devices/virtual/net/enP2p1s0f0np0/speed"] == speed


def test_the_gid_table_follows_the_addresses() -> None:
    entries = live(up=True, carrier=True, ipv4=("192.168.101.13",))
    table = [
        (entries[f"{PORT}/gids/{i}"], entries[f"{PORT}/gid_attrs/types/{i}"]) for i in range(256)
    ]
    assert table[:4] == [
        ("fe80:0000:0000:0000:4ebb:47ff:fe00:0301", "IB/RoCE v1"),
        ("fe80:0000:0000:0000:4ebb:47ff:fe00:0301", "RoCE v2"),
        ("0000:0000:0000:0000:0000:ffff:c0a8:650d", "IB/RoCE v1"),
        ("0000:0000:0000:0000:0000:ffff:c0a8:650d", "RoCE v2"),
    ]
    assert set(table[4:]) == {(sysfs.EMPTY, sysfs.Link(sysfs.UNREADABLE))}
    assert entries[f"{PORT}/gid_attrs/ndevs/3"] == "enP2p1s0f0np0"
    assert entries[f"{PORT}/gid_attrs/ndevs/4"] == sysfs.Link(sysfs.UNREADABLE)


def test_one_image_guid_and_four_node_guids() -> None:
    entries = sysfs.static(NODE, cabled=True)
    assert {entries[f"{CONNECTX_7.device_folder(h)}/sys_image_guid"] for h in HALVES} == {
        "4cbb:4703:0000:0300"
    }
    assert entries[f"{CONNECTX_7.device_folder(HALF)}/node_guid"] == "4cbb:4703:0000:0301"
    assert len({entries[f"{CONNECTX_7.device_folder(h)}/node_guid"] for h in HALVES}) == 4


def test_links_lead_from_netdev_to_rdma_device_and_back(tmp_path: Path) -> None:
    sysfs.write(tmp_path, sysfs.static(NODE, cabled=True))
    for half in HALVES:
        net = tmp_path / half.net_folder
        net.mkdir(exist_ok=True)
        device = (tmp_path / "class/infiniband" / half.hca / "device").resolve()
        assert device.name == half.pci
        assert device == (net / "device").resolve()
        assert [p.name for p in (device / "infiniband").iterdir()] == [half.hca]
        assert (device / "net" / half.interface).resolve() == net
        verbs = tmp_path / f"class/infiniband_verbs/uverbs{half.index}"
        assert (verbs / "ibdev").read_text() == f"{half.hca}\n"


def test_soft_roce_has_no_pci_function_and_names_its_netdev(tmp_path: Path) -> None:
    sysfs.write(tmp_path, sysfs.static(SOFT, cabled=True))
    assert not list(tmp_path.glob("devices/pci*"))
    assert not list(tmp_path.glob("class/infiniband*/*/device"))
    for half in HALVES:
        name = tmp_path / half.net_folder / "phys_port_name"
        assert str(name.readlink()).endswith(sysfs.UNREADABLE.removeprefix("devices/virtual/net"))
        device = tmp_path / "class/infiniband" / half.hca
        assert (device / "parent").read_text() == f"{half.interface}\n"
        assert not (device / "ports/1/counters").exists()
        rate = (device / "ports/1/rate").read_text().strip()
        assert rate == ("2.5 Gb/sec (1X SDR)" if half.subnet is None else "100 Gb/sec (4X EDR)")
        verbs = tmp_path / f"class/infiniband_verbs/uverbs{half.index}"
        assert (verbs / "ibdev").read_text() == f"{half.hca}\n"
    names = {
        p.name for p in (tmp_path / "class/infiniband/rocep1s0f0/ports/1/hw_counters").iterdir()
    }
    assert names > {*SOFT_ROCE.lost, "sent_pkts"}
    assert not names & {*CONNECTX_7.lost}


def test_the_gid_table_of_soft_roce_has_one_type_and_more_slots() -> None:
    state = sysfs.LinkState(MAC, up=True, carrier=True, ipv4=("192.168.101.13",))
    entries = sysfs.port(SOFT_ROCE, HALF, state)
    folder = f"devices/virtual/infiniband/{HALF.hca}/ports/1"
    table = [
        (entries[f"{folder}/gids/{i}"], entries[f"{folder}/gid_attrs/types/{i}"])
        for i in range(1024)
    ]
    assert table[:2] == [
        ("fe80:0000:0000:0000:4ebb:47ff:fe00:0301", "RoCE v2"),
        ("0000:0000:0000:0000:0000:ffff:c0a8:650d", "RoCE v2"),
    ]
    assert set(table[2:]) == {(sysfs.EMPTY, sysfs.Link(sysfs.UNREADABLE))}


@pytest.mark.parametrize("hardware", HARDWARE.values(), ids=lambda h: h.name)
def test_what_counts_losses_is_among_the_counters_that_the_doctor_reads(hardware: Hardware) -> None:
    assert {f"hw_counters/{name}" for name in hardware.lost} <= {*hardware.counters}
    assert {*hardware.lost} in [{*names} for names in LOSS.values()]


def test_writing_again_replaces_files_by_links_and_back(tmp_path: Path) -> None:
    (tmp_path / "refuses").write_text("no\n")
    for value, seen in (("1", "1\n"), (sysfs.Link("refuses"), "no\n"), ("2", "2\n")):
        sysfs.write(tmp_path, {"a/b": value})
        assert (tmp_path / "a/b").read_text() == seen
    assert (tmp_path / "refuses").read_text() == "no\n"


def test_a_write_that_failed_half_way_does_not_stop_the_next(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()  # no file can take its place
    with pytest.raises(OSError, match="taken"):
        sysfs.write(tmp_path, {"taken": sysfs.Link("other")})
    sysfs.write(tmp_path, {"link": sysfs.Link("other"), "file": "text"})
    assert (tmp_path / "file").read_text() == "text\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "link", "taken"]
