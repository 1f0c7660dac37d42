"""The imitated ConnectX-7 as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparkctl.lab import sysfs
from sparkctl.lab.spec import HALVES, NodeSpec

NODE = NodeSpec(3, Path("/lab"), "10.77.0")
HALF = HALVES[1]
PORT = f"{HALF.device_folder}/ports/1"
MAC = "4c:bb:47:00:03:01"


def live(*, up: bool, carrier: bool, ipv4: tuple[str, ...] = ()) -> sysfs.Entries:
    state = sysfs.LinkState(MAC, up, carrier, ipv4)
    return sysfs.speed(HALF, state) | sysfs.port(HALF, state)


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
    assert {entries[f"{h.device_folder}/sys_image_guid"] for h in HALVES} == {"4cbb:4703:0000:0300"}
    assert entries[f"{HALF.device_folder}/node_guid"] == "4cbb:4703:0000:0301"
    assert len({entries[f"{h.device_folder}/node_guid"] for h in HALVES}) == 4


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
