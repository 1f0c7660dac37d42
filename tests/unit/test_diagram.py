"""The fabric's document and its drawing: cages, GIDs, and who faces whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.errors import ConnectError
from sparkctl.fabric.cabling import facing, links
from sparkctl.fabric.diagram import Diagram, GidRule, draw
from sparkctl.fabric.topology import Half
from sparkctl.output.fabric import print_diagram, print_hcas
from tests.unit.answers import all_facts
from tests.unit.doctorview import captured

if TYPE_CHECKING:
    from collections.abc import Callable

Facts = dict[str, Any]


@pytest.fixture
def pair() -> Facts:
    found: Facts = captured()["facts"]
    return found


def diagram(facts: Facts, pinned: dict[str, int | None] | None = None) -> Diagram:
    rules = {name: GidRule(index) for name, index in (pinned or {}).items()}
    return draw(all_facts(facts), rules)


def half(hca: str, *ipv4: str, active: bool = True) -> Half:
    return Half(hca, f"net-{hca}", 0, None, active, ipv4, 9000)


def ends(*nodes: tuple[str, list[Half]]) -> list[tuple[str, str, str]]:
    found = links(dict(nodes))
    return [(link.ends[0][1].hca, link.ends[1][1].hca, link.subnet) for link in found]


def test_halves_pair_by_subnet_whatever_their_names_and_cages() -> None:
    one = ("a", [half("rocep1s0f0", "10.0.0.1/24"), half("roceP2p1s0f0", "10.0.1.1/24")])
    two = ("b", [half("mlx5_3", "10.0.1.2/24"), half("mlx5_2", "10.0.0.2/24")])
    assert ends(one, two) == [
        ("rocep1s0f0", "mlx5_2", "10.0.0.0/24"),
        ("roceP2p1s0f0", "mlx5_3", "10.0.1.0/24"),
    ]


def test_each_end_must_be_in_the_others_subnet() -> None:
    assert ends(("a", [half("x", "10.0.0.1/24")]), ("b", [half("y", "10.0.1.2/16")])) == []
    near = ends(("a", [half("x", "10.0.0.1/24")]), ("b", [half("y", "10.0.0.2/16")]))
    assert near == [("x", "y", "10.0.0.0/24")]
    several = half("y", "10.9.0.1/24", "10.0.0.2/24", "10.0.0.3/24")
    assert ends(("a", [half("x", "10.0.0.1/24")]), ("b", [several])) == near


def test_on_a_switch_every_half_faces_all_others_but_its_own_nodes() -> None:
    nodes = [(name, [half(f"{name}0", f"10.0.0.{n}/24")]) for n, name in enumerate("abc", 1)]
    assert [e[:2] for e in ends(*nodes)] == [("a0", "b0"), ("a0", "c0"), ("b0", "c0")]
    same = ("a", [half("x", "10.0.0.1/24"), half("y", "10.0.0.2/24")])
    assert ends(same) == []
    found = links(dict([same, nodes[1]]))
    assert all(facing(found, "a", h) for h in same[1])
    assert not facing(found, "b", same[1][0])


def test_a_link_is_active_when_both_ends_are() -> None:
    dead = half("y", "10.0.0.2/24", active=False)
    (link,) = links({"a": [half("x", "10.0.0.1/24")], "b": [dead]})
    assert not link.active


def test_the_document_of_a_pair(pair: Facts) -> None:
    found = diagram(pair).document()
    one = found["nodes"][0]
    assert [(h["cage"], h["hca"]) for h in one["halves"]] == [
        (0, "rocep1s0f0"),
        (0, "roceP2p1s0f0"),
        (1, "rocep1s0f1"),
        (1, "roceP2p1s0f1"),
    ]
    gids = one["halves"][0].pop("gids")
    assert one["halves"][0] == {
        "cage": 0,
        "hca": "rocep1s0f0",
        "port": 1,
        "interface": "enp1s0f0np0",
        "pci": "0000:01:00.0",
        "state": "ACTIVE",
        "phys_state": "LinkUp",
        "rate": "200 Gb/sec (2X NDR)",
        "link_layer": "Ethernet",
        "mtu": 9000,
        "speed": 200000,
        "ipv4": ["192.168.100.11/24"],
        "ipv6": ["fe80::4ebb:47ff:fe00:100/64"],
        "pcie_width": "4",
        "pcie_speed": "32.0 GT/s PCIe",
        "gid_index": 3,
    }
    assert gids[3] == {
        "index": 3,
        "gid": "0000:0000:0000:0000:0000:ffff:c0a8:640b",
        "type": "RoCE v2",
        "family": "IPv4",
        "ipv4": "192.168.100.11",
        "netdev": "enp1s0f0np0",
    }
    assert found["links"][0] == {
        "ends": [
            {"node": "spark-1", "hca": "rocep1s0f0"},
            {"node": "spark-2", "hca": "rocep1s0f0"},
        ],
        "subnet": "192.168.100.0/24",
        "active": True,
    }
    assert len(found["links"]) == 2
    assert found["alone"] == []


def test_a_pinned_index_is_the_one_taken(pair: Facts) -> None:
    found = diagram(pair, {"spark-1": 9, "spark-2": None})
    assert [node.ports[0].gid_index for node in found.nodes] == [9, 3]


def test_what_faces_nothing_and_what_has_no_netdev_is_listed(pair: Facts) -> None:
    pair["spark-2"]["net"]["enp1s0f0np0"]["ipv4"] = ["172.16.0.1/24"]
    port = {**pair["spark-2"]["ib"]["rocep1s0f0"]["ports"]["1"], "gids": []}
    pair["spark-2"]["ib"]["mlx5_9"] = {
        "netdevs": [],
        "pci": "0005:01:00.0",
        "guid": None,
        "ports": {"1": port},
    }
    found = diagram(pair).document()
    assert found["alone"] == [
        {"node": "spark-1", "hca": "rocep1s0f0"},
        {"node": "spark-2", "hca": "rocep1s0f0"},
    ]
    assert found["nodes"][1]["without_netdev"] == ["mlx5_9"]
    assert diagram({"spark-1": pair["spark-1"]}).alone == ()


@pytest.fixture
def drawn(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def printed(facts: Facts, pinned: dict[str, int | None] | None = None, **errors: str) -> str:
        failed = {name: ConnectError(text, node=name) for name, text in errors.items()}
        print_diagram(diagram(facts, pinned), failed, ["the cable"])
        return capsys.readouterr().out

    return printed


def test_wide_is_one_table_and_names_are_the_hcas(
    pair: Facts, capsys: pytest.CaptureFixture[str]
) -> None:
    print_diagram(diagram(pair), {}, ["the cable"], wide=True)
    title, *rows = capsys.readouterr().out.splitlines()
    halves = [(node.name, port.half.hca) for node in diagram(pair).nodes for port in node.ports]
    found = [row.split() for row in rows[: len(halves)]]
    assert [(name, hca) for name, _, hca, *_ in found] == halves
    assert "192.168.100.11/24" in found[0]
    assert title.split()[-1] == "ADDRESSES"
    print_hcas(diagram(pair))
    assert capsys.readouterr().out.split() == [*dict.fromkeys(hca for _, hca in halves)]


def test_a_pair_is_drawn(pair: Facts, drawn: Callable[..., str]) -> None:
    lines = drawn(pair).splitlines()
    assert lines[:3] == [
        "spark-1",
        "  cage 0",
        "    rocep1s0f0     enp1s0f0np0      ACTIVE (LinkUp), 200 Gb/sec (2X NDR), MTU 9000,"
        " 200 Gb/s, PCIe x4 32.0 GT/s PCIe",
    ]
    assert "      GID 3: 192.168.100.11 (RoCE v2, enp1s0f0np0)  <- NCCL takes it" in lines
    assert "192.168.101.0/24: spark-1 roceP2p1s0f0 <-> spark-2 roceP2p1s0f0" in lines
    assert "  cage 1" in lines
    assert lines[-1] == "imitated: the cable"


def test_what_is_wrong_is_drawn(pair: Facts, drawn: Callable[..., str]) -> None:
    pair["spark-1"]["ib"]["roceP2p1s0f0"]["ports"]["1"]["state"] = "DOWN"
    pair["spark-2"]["net"]["enp1s0f0np0"]["ipv4"] = []
    text = drawn(pair, {"spark-1": 8}, away="no route to it")
    assert "GID 8: empty  <- NCCL takes it" in text
    assert "192.168.101.0/24: spark-1 roceP2p1s0f0 (DOWN) <-> spark-2 roceP2p1s0f0" in text
    assert "spark-1 rocep1s0f0 shares its subnet with no other node" in text
    assert "away: no route to it\n" in text
    pair["spark-1"]["ib"] = {}
    assert "spark-1\n  no RDMA device (is the cable in?)\n" in drawn(pair)
