"""The fabric's checks where addresses, wiring and control are others than the lab's pair has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.doctorview import INVENTORY, Answers, examined, healthy, wrong
from tests.unit.peeranswers import tried

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.doctor.finding import Finding

ONE, TWO, THREE = "spark-1", "spark-2", "spark-3"
FIRST, SECOND = "enp1s0f0np0", "enP2p1s0f0np0"
FUNCTIONS = ("rocep1s0f0", "roceP2p1s0f0", "rocep1s0f1", "roceP2p1s0f1")
MANAGEMENT = "{interfaces: [enP7s7], hcas: [rocep1s0f0, roceP2p1s0f0]}"


def two(answers: Answers) -> Any:
    return answers.facts[TWO]


def only(answers: Answers, check: str, severity: str) -> Finding:
    (found,) = [f for f in examined(answers, check) if f.severity.value == severity]
    assert severity in ("OK", "INFO", "UNKNOWN") or (found.evidence and found.fix)
    return found


def slots(*addresses: tuple[str, str]) -> list[dict[str, Any]]:
    """The GIDs of a ConnectX-7 with these addresses, each with its netdev: two for each."""
    link = "fe80:0000:0000:0000:4ebb:47ff:fe00:0200"
    gids = [link, *(f"::ffff:{ip}" for ip, _ in addresses)]
    ndevs = [FIRST, *(ndev for _, ndev in addresses)]
    kinds = ("IB/RoCE v1", "RoCE v2")
    return [
        {"index": 2 * at + v, "gid": gid, "type": kind, "ndev": ndev}
        for at, (gid, ndev) in enumerate(zip(gids, ndevs, strict=True))
        for v, kind in enumerate(kinds)
    ]


def give(answers: Answers, name: str, interface: str, *ipv4: str) -> None:
    """These addresses instead of the interface's, with the GIDs that the kernel makes of them."""
    facts: Any = answers.facts[name]
    facts["net"][interface]["ipv4"] = list(ipv4)
    for device in facts["ib"].values():
        if interface in device["netdevs"]:
            taken = ((a.partition("/")[0], interface) for a in ipv4)
            device["ports"]["1"]["gids"] = slots(*taken)


# What NCCL takes, and its peer.


SUBNETS = INVENTORY + "fabric: {subnets: [192.168.100.0/24, 192.168.101.0/24]}\n"


def test_a_gid_of_another_subnet_than_the_peers_is_a_failure() -> None:
    answers = healthy(SUBNETS)
    give(answers, TWO, FIRST, "169.254.7.2/16", "192.168.100.12/24")
    assert wrong(answers) == {("fabric.gid", TWO, "FAIL")}
    found = only(answers, "fabric.gid", "FAIL")
    assert (found.code, found.data) == (
        "gid-subnet",
        {
            "hca": "rocep1s0f0",
            "interface": FIRST,
            "index": 3,
            "address": "169.254.7.2",
            "peer": ONE,
        },
    )
    assert found.evidence[0].expected == "the GID of 192.168.100.12"
    assert found.fix
    assert found.fix.commands == ("sudo ip address del 169.254.7.2/16 dev enp1s0f0np0",)
    give(answers, TWO, FIRST, "192.168.100.12/24", "169.254.7.2/16")
    assert wrong(answers) == set(), "the first is taken"


def test_both_ends_may_take_the_other_subnet() -> None:
    answers = healthy(SUBNETS)
    for number, name in ((11, ONE), (12, TWO)):
        give(answers, name, FIRST, f"169.254.7.{number}/16", f"192.168.100.{number}/24")
    assert wrong(answers) == set()


def gid(answers: Answers) -> set[tuple[str | None, str]]:
    found = examined(answers, "fabric.gid")
    return {(f.node, f.severity.value) for f in found if f.severity.value != "OK"}


def test_a_gid_of_a_vlan_that_the_peer_does_not_take() -> None:
    answers = healthy()
    vlan = {**two(answers)["net"][FIRST], "ipv4": ["10.9.9.9/24"], "pci": None}
    two(answers)["net"][f"{FIRST}.100"] = vlan
    gids = slots(("10.9.9.9", f"{FIRST}.100"), ("192.168.100.12", FIRST))
    two(answers)["ib"]["rocep1s0f0"]["ports"]["1"]["gids"] = gids
    assert gid(answers) == {(TWO, "FAIL")}
    found = only(answers, "fabric.gid", "FAIL")
    assert (found.code, found.data["interface"]) == ("gid-subnet", f"{FIRST}.100")
    one: Any = answers.facts[ONE]
    one["net"][f"{FIRST}.100"] = {**vlan, "ipv4": ["10.9.9.8/24"]}
    assert gid(answers) == {(TWO, "FAIL")}, "it has the VLAN and does not take it"
    gids = slots(("10.9.9.8", f"{FIRST}.100"), ("192.168.100.11", FIRST))
    one["ib"]["rocep1s0f0"]["ports"]["1"]["gids"] = gids
    assert gid(answers) == set()


def test_a_range_of_addresses_has_nccl_take_the_fabrics() -> None:
    def with_range(value: str) -> Answers:
        answers = healthy(SUBNETS + f"env: {{set: {{NCCL_IB_ADDR_RANGE: {value}}}}}\n")
        give(answers, TWO, FIRST, "169.254.7.2/16", "192.168.100.12/24")
        return answers

    assert wrong(with_range("192.168.100.0/23")) == set()
    answers = with_range("10.0.0.0/8")
    assert wrong(answers) == {("fabric.gid", n, "FAIL") for n in (ONE, TWO)}
    assert {f.code for f in examined(answers, "fabric.gid")} == {"address-range"}


def test_a_pinned_index_is_what_the_peers_are_held_against() -> None:
    answers = healthy(SUBNETS + 'env: {set: {NCCL_IB_GID_INDEX: "3"}}\n')
    give(answers, TWO, FIRST, "192.168.100.12/24", "169.254.7.2/16")
    assert {w for w in wrong(answers) if w[2] == "FAIL"} == set()
    give(answers, TWO, FIRST, "169.254.7.2/16", "192.168.100.12/24")
    assert ("fabric.gid", TWO, "FAIL") in wrong(answers)


def test_a_gid_beside_the_fabric_is_unknown_while_the_peer_is() -> None:
    answers = healthy(SUBNETS)
    give(answers, TWO, FIRST, "169.254.7.2/16", "192.168.100.12/24")
    answers.facts = {TWO: two(answers)}
    (found, _) = [f for f in examined(answers, "fabric.gid") if f.node == TWO]
    assert (found.severity.value, found.code) == ("UNKNOWN", "peer-unknown")


# Halves, where control runs beside them.


def control_apart(fabric: str = MANAGEMENT, more: str = "") -> Answers:
    text = INVENTORY.replace("role: head", f"role: head, fabric: {fabric}")
    return healthy(text.replace("role: worker", f"role: worker, fabric: {fabric}") + more)


def test_control_on_the_management_network_is_well() -> None:
    answers = control_apart()
    for name, number in ((ONE, 11), (TWO, 12)):
        files = answers.facts[name]["persistence"]["files"]
        files[0]["addresses"].append(f"10.77.0.{number}")
        files[0]["interfaces"].append("enP7s7")
    assert {w for w in wrong(answers) if w[0].startswith("fabric.")} == set()


def pairing(answers: Answers) -> list[tuple[str | None, str]]:
    found = examined(answers, "fabric.pairing")
    return [(f.node, f.severity.value) for f in found if f.severity.value != "OK"]


def test_a_half_in_another_subnet_than_the_peers() -> None:
    answers = control_apart()
    give(answers, TWO, SECOND, "192.168.107.12/24")
    assert pairing(answers) == [(TWO, "FAIL")]
    found = only(answers, "fabric.pairing", "FAIL")
    assert (found.code, found.data["hca"]) == ("half-without-peer", "roceP2p1s0f0")


def test_a_pair_whose_halves_see_nothing_of_each_other() -> None:
    answers = control_apart()
    give(answers, TWO, FIRST, "192.168.107.12/24")
    give(answers, TWO, SECOND, "192.168.108.12/24")
    assert pairing(answers) == [(TWO, "FAIL"), (TWO, "FAIL")]


def test_the_same_address_on_two_halves() -> None:
    answers = control_apart()
    give(answers, TWO, SECOND, "192.168.101.11/24")
    assert pairing(answers) == [(TWO, "FAIL")]
    found = only(answers, "fabric.pairing", "FAIL")
    assert (found.code, found.data["address"], found.data["other"]) == (
        "duplicate-half-address",
        "192.168.101.11",
        ONE,
    )


def test_crossed_halves_are_reported() -> None:
    answers = control_apart()
    give(answers, TWO, FIRST, "192.168.101.12/24")
    give(answers, TWO, SECOND, "192.168.100.12/24")
    assert pairing(answers) == [(TWO, "WARN")]
    found = only(answers, "fabric.pairing", "WARN")
    assert found.code == "hcas-crossed"
    assert found.data["pairs"] == [
        "rocep1s0f0 (192.168.100.11/24) with rocep1s0f0 (192.168.101.12/24)",
        "roceP2p1s0f0 (192.168.101.11/24) with roceP2p1s0f0 (192.168.100.12/24)",
    ]
    settled = control_apart(more="env: {set: {NCCL_IB_SUBNET_AWARE_ROUTING: '1'}}\n")
    settled.facts = answers.facts
    assert pairing(settled) == []
    two(settled)["runtime"]["versions"] = {"nvidia_nccl_cu13": "2.28.9"}
    assert pairing(settled) == [(TWO, "WARN")], "NCCL before 2.30.7 ignores the variable"


def test_halves_with_a_cable_each_are_not_given_each_others_addresses() -> None:
    answers = control_apart()
    give(answers, TWO, FIRST, "192.168.101.12/24")
    give(answers, TWO, SECOND, "192.168.100.12/24")
    found = only(answers, "fabric.pairing", "WARN")
    assert found.fix
    assert "where each half has a cable of its own, swap the cables" in found.fix.text


# Three nodes.


# Each node's address in each subnet of the ring, by function: the first cage goes to the next
# node's second.
RING = {ONE: (1, 2, 5, 6), TWO: (3, 4, 1, 2), THREE: (5, 6, 3, 4)}
SWITCH = dict.fromkeys(RING, (100, 101))
BY_SUBNET = "env: {set: {NCCL_IB_SUBNET_AWARE_ROUTING: '1'}}\n"
NOT_MERGED = BY_SUBNET.replace("'1'", "'1', NCCL_IB_MERGE_NICS: '0'")
FOUR = f"{{interfaces: [enP7s7], hcas: [{', '.join(FUNCTIONS)}]}}"


def three(subnets: Mapping[str, tuple[int, ...]], fabric: str = "{}", more: str = "") -> Answers:
    """Three nodes, each with a half in each of its subnets, and the pings that doctor sends."""
    nodes = "".join(
        f"  - {{name: {n}, host: 10.77.0.1{i}, role: {'worker' if i > 1 else 'head'},"
        f" fabric: {fabric}}}\n"
        for i, n in enumerate(subnets, 1)
    )
    start, _, rest = INVENTORY.partition("nodes:\n")
    runtime = rest[rest.index("runtime:") :]
    made = healthy(f"{start}nodes:\n{nodes}{runtime}{more}")
    facts = {name: healthy().facts[TWO] for name in subnets}
    answers = Answers(made.inventory, tuple(made.inventory.nodes), facts)
    for at, name in enumerate(subnets, 1):
        known = facts[name]
        known["net"]["enP7s7"]["ipv4"] = [f"10.77.0.1{at}/24"]
        for hca, subnet in zip(FUNCTIONS, subnets[name], strict=False):
            interface = known["ib"][hca]["netdevs"][0]
            known["net"][interface].update(up=True, carrier=1, operstate="up", mtu=9000)
            known["ib"][hca]["ports"]["1"].update(state="ACTIVE", phys_state="LinkUp")
            give(answers, name, interface, f"192.168.{subnet}.1{at}/24")
    return answers


def fabric(answers: Answers) -> set[tuple[str, str | None, str]]:
    """What is not well of the pairs."""
    found = examined(
        tried(answers), "fabric.pairing", "fabric.ping", "fabric.gid", "fabric.subnets"
    )
    return {(f.check, f.node, f.severity.value) for f in found if f.severity.value != "OK"}


def test_a_ring_of_three_is_well() -> None:
    answers = three(RING, FOUR, BY_SUBNET)
    assert fabric(answers) == set()
    assert len([f for f in examined(answers, "fabric.ping") if f.severity.value == "OK"]) == 3


def test_a_ring_needs_nccl_to_go_by_subnets() -> None:
    assert fabric(three(RING, FOUR)) == {("fabric.pairing", n, "WARN") for n in (TWO, THREE)}


def test_in_a_ring_sockets_over_the_halves_reach_nobody() -> None:
    every = f"{{hcas: [{', '.join(FUNCTIONS)}]}}"
    answers = three(RING, every, BY_SUBNET)
    failed = [f for f in examined(answers, "fabric.pairing") if f.severity.value == "FAIL"]
    assert [f.code for f in failed] == ["socket-subnet"] * 3
    # The remedy says what a ring needs.
    assert all(f.fix and "set a management interface" in f.fix.text for f in failed)
    assert ("fabric.pairing", TWO, "FAIL") in fabric(three(RING)), "cage 0 alone faces nobody"


def test_in_a_ring_a_half_that_faces_nobody_is_found() -> None:
    answers = three({**RING, THREE: (5, 6, 3, 9)}, FOUR, BY_SUBNET)
    found = {w for w in fabric(answers) if w[0] == "fabric.pairing"}
    assert found == {("fabric.pairing", TWO, "FAIL"), ("fabric.pairing", THREE, "FAIL")}
    silent = [f for f in examined(answers, "fabric.ping") if f.severity.value == "UNKNOWN"]
    assert {(f.node, f.data["interface"]) for f in silent} == {
        (TWO, "enP2p1s0f0np0"),
        (THREE, "enP2p1s0f1np1"),
    }
    answers = three(RING, FOUR, BY_SUBNET)
    del answers.facts[ONE]["net"]
    assert {f.severity.value for f in examined(answers, "fabric.pairing")} == {"UNKNOWN"}


@pytest.mark.parametrize("chosen", ["{}", MANAGEMENT])
@pytest.mark.parametrize("subnets", [(100, 107), (107, 101), (107, 108)])
def test_on_a_switch_a_node_in_the_wrong_subnet_is_found(
    subnets: tuple[int, ...], chosen: str
) -> None:
    assert fabric(three(SWITCH, chosen)) == set()
    found = fabric(three({**SWITCH, THREE: subnets}, chosen))
    assert {w for w in found if w[2] == "FAIL"} >= {("fabric.pairing", THREE, "FAIL")}
    assert {n for _, n, _ in found} == {THREE}


@pytest.mark.parametrize("odd", [ONE, THREE, "spark-4"])
def test_on_a_switch_the_one_node_with_crossed_halves_is_named(odd: str) -> None:
    nodes = dict.fromkeys((ONE, TWO, THREE, "spark-4"), (100, 101))
    answers = three({**nodes, odd: (101, 100)})
    found = [f for f in examined(answers, "fabric.pairing") if f.severity.value == "WARN"]
    assert [(f.code, f.node) for f in found] == [("hcas-crossed", odd)] * 3
    assert {str(f.data["peer"]) for f in found} == {*nodes} - {odd}
    assert all(f.fix and f"addresses of {odd}'s halves" in f.fix.text for f in found)


def test_of_two_and_two_nodes_those_unlike_the_first_are_crossed() -> None:
    nodes = {ONE: (100, 101), TWO: (101, 100), THREE: (100, 101), "spark-4": (101, 100)}
    found = {w for w in fabric(three(nodes)) if w[0] == "fabric.pairing"}
    assert found == {("fabric.pairing", n, "WARN") for n in (TWO, "spark-4")}


def test_a_rings_addresses_are_not_wrong_where_the_choice_is() -> None:
    failed = [f for f in examined(three(RING), "fabric.pairing") if f.severity.value == "FAIL"]
    assert {f.code for f in failed} == {"socket-subnet"}


def test_halves_that_fell_back_on_two_nodes_are_wrong_and_not_the_third_nodes() -> None:
    answers = three(SWITCH)
    for name in (TWO, THREE):
        give(answers, name, FIRST, f"169.254.1.{name[-1]}/16")
    found = {w for w in fabric(answers) if w[0] == "fabric.pairing"}
    assert found == {("fabric.pairing", n, "FAIL") for n in (TWO, THREE)}


def test_two_and_two_nodes_in_subnets_of_their_own() -> None:
    nodes = {ONE: (100, 101), TWO: (100, 101), THREE: (107, 108), "spark-4": (107, 108)}
    found = fabric(three(nodes, MANAGEMENT))
    assert {(c, n) for c, n, s in found if s == "FAIL"} == {
        ("fabric.pairing", THREE),
        ("fabric.pairing", "spark-4"),
    }


def test_a_ring_of_four_that_routes_by_subnets_is_no_warning() -> None:
    nodes = {ONE: (1, 2, 7, 8), TWO: (3, 4, 1, 2), THREE: (5, 6, 3, 4), "spark-4": (7, 8, 5, 6)}
    assert {s for _, _, s in fabric(three(nodes, FOUR, BY_SUBNET))} == {"INFO"}
    answers = three(nodes, FOUR, BY_SUBNET)
    answers.facts[TWO]["runtime"]["versions"] = {"nvidia_nccl_cu13": "2.28.9"}
    assert ("fabric.pairing", THREE, "WARN") in fabric(answers), "its NCCL ignores the variable"


def test_a_ring_of_four_has_nodes_that_no_cable_joins() -> None:
    nodes = {ONE: (1, 2, 7, 8), TWO: (3, 4, 1, 2), THREE: (5, 6, 3, 4), "spark-4": (7, 8, 5, 6)}
    answers = three(nodes, FOUR, NOT_MERGED)
    assert fabric(answers) == {
        ("fabric.pairing", THREE, "WARN"),
        ("fabric.pairing", "spark-4", "INFO"),  # the warning is one for the ring
        ("fabric.ping", THREE, "INFO"),
        ("fabric.ping", "spark-4", "INFO"),
    }
    found = only(answers, "fabric.pairing", "WARN")
    assert found.code == "no-cable"
    assert found.data["ring"] == [ONE, TWO, THREE, "spark-4"]
    assert found.data["pairs"] == [f"{ONE} {THREE}", f"{TWO} spark-4"]
    assert found.fix is not None
    for cure in ("a switch", "patched", "NCCL_ALGO=Ring", "NCCL_IB_SUBNET_AWARE_ROUTING=1"):
        assert cure in found.fix.text


def test_the_warning_of_a_ring_is_there_whichever_node_is_asked_about() -> None:
    nodes = {ONE: (1, 2, 7, 8), TWO: (3, 4, 1, 2), THREE: (5, 6, 3, 4), "spark-4": (7, 8, 5, 6)}
    for name in nodes:
        answers = three(nodes, FOUR, NOT_MERGED)
        answers.nodes = tuple(n for n in answers.inventory.nodes if n.name == name)
        found = only(answers, "fabric.pairing", "WARN")
        assert name in str(found.data["pairs"])


def names_of(found: Finding, key: str) -> list[str]:
    value = found.data[key]
    assert isinstance(value, list)
    return value


def test_a_ring_of_five_and_a_chain_of_four() -> None:
    names = (ONE, TWO, THREE, "spark-4", "spark-5")
    evens = [(2 * i, 2 * i + 1) for i in range(5)]
    five = {n: (*evens[i], *evens[i - 1]) for i, n in enumerate(names)}
    found = only(three(five, FOUR, NOT_MERGED), "fabric.pairing", "WARN")
    assert len(names_of(found, "ring")) == len(names_of(found, "pairs")) == 5
    chain = {ONE: (1, 2), TWO: (3, 4, 1, 2), THREE: (5, 6, 3, 4), "spark-4": (5, 6)}
    hcas = {n: list(FUNCTIONS)[: len(s)] for n, s in chain.items()}
    answers = three(chain, FOUR, NOT_MERGED)
    nodes = [
        n.model_copy(update={"fabric": n.fabric.model_copy(update={"hcas": hcas[n.name]})})
        for n in answers.inventory.nodes
    ]
    answers.inventory = answers.inventory.model_copy(update={"nodes": nodes})
    answers.nodes = tuple(nodes)
    found = only(answers, "fabric.pairing", "WARN")
    assert (found.code, found.data["ring"]) == ("no-cable", [])
    assert f"{ONE} spark-4" in names_of(found, "pairs")


# What outlives a reboot.


def file(path: str, *interfaces: str) -> dict[str, Any]:
    """A file that names these interfaces and the second node's addresses."""
    return {
        "path": path,
        "addresses": ["192.168.100.12", "192.168.101.12"],
        "interfaces": [*interfaces],
        "dhcp": False,
        "link_local": False,
    }


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        (file("/etc/netplan/60.yaml", FIRST, SECOND), True),
        (file("/etc/netplan/60.yaml"), True),  # its interfaces by a pattern, or by their driver
        (file("/etc/netplan/60.yaml", "enp1s0f1np1", "enP2p1s0f1np1"), False),
        (file("/etc/systemd/system/fabric.service", FIRST, SECOND), True),
        (file("/etc/systemd/system/ray.service"), False),
        (file("/etc/rc.local"), False),
        (file("/etc/NetworkManager/dispatcher.d/90-fabric"), False),
    ],
)
def test_an_address_is_kept_for_its_interface(found: dict[str, Any], kept: bool) -> None:
    answers = healthy()
    two(answers)["persistence"]["files"] = [found]
    assert (("fabric.persistent", TWO, "WARN") not in wrong(answers)) is kept


def test_the_halves_are_kept_where_control_runs_beside_them() -> None:
    answers = control_apart()
    two(answers)["persistence"]["files"] = [file("/etc/netplan/60.yaml", FIRST, "enP7s7")]
    found = [f for f in examined(answers, "fabric.persistent") if f.node == TWO]
    assert [(f.data["interface"], f.severity.value) for f in found] == [
        ("enP7s7", "WARN"),
        (FIRST, "OK"),
        (SECOND, "WARN"),
    ]
    # A half costs bandwidth and has the fabric's MTU; the management interface does not.
    assert [("mtu" in f.fix.text) for f in found if f.fix] == [False, True]
    assert [("bandwidth" in f.summary) for f in found] == [False, False, True]


# Subnets.


def test_a_second_address_in_the_other_halfs_subnet() -> None:
    answers = healthy()
    give(answers, TWO, SECOND, "192.168.101.12/24", "192.168.100.13/24")
    assert wrong(answers) == {("fabric.subnets", TWO, "FAIL")}
    found = only(answers, "fabric.subnets", "FAIL")
    assert (found.code, found.data) == (
        "halves-share-subnet",
        {"interfaces": [FIRST, SECOND], "addresses": ["192.168.100.12/24", "192.168.100.13/24"]},
    )


def test_link_local_addresses_beside_the_fabrics_are_no_clash() -> None:
    answers = healthy()
    give(answers, TWO, FIRST, "192.168.100.12/24", "169.254.1.12/16")
    give(answers, TWO, SECOND, "192.168.101.12/24", "169.254.2.12/16")
    assert wrong(answers) == set()


@pytest.mark.parametrize("other", ["enp1s0f1np1", "enP7s7"])
@pytest.mark.parametrize(
    ("address", "up", "reported"),
    [
        ("192.168.100.77/24", True, True),
        ("192.168.101.77/26", True, True),
        ("192.168.100.77/24", False, False),
        ("192.168.100.77/32", True, False),
        ("192.168.0.77/16", True, False),
        ("192.168.102.77/24", True, False),
    ],
)
def test_another_interface_in_a_halfs_subnet(
    other: str, address: str, up: bool, reported: bool
) -> None:
    answers = healthy()
    two(answers)["net"][other].update(up=up, ipv4=[address])
    assert wrong(answers) == ({("fabric.subnets", TWO, "WARN")} if reported else set())


# What a port and a limit are.


@pytest.mark.parametrize(
    ("layer", "code"), [("Ethernet", "port-not-active"), ("InfiniBand", "link-layer")]
)
def test_a_port_that_is_not_active_though_its_link_is_there(layer: str, code: str) -> None:
    answers = healthy()
    port = two(answers)["ib"]["roceP2p1s0f0"]["ports"]["1"]
    port.update(state="INIT", link_layer=layer)
    found = only(answers, "fabric.halves", "FAIL")
    assert (found.code, found.data["hca"]) == (code, "roceP2p1s0f0")
    assert found.fix
    assert ("LINK_TYPE" in found.fix.commands[0]) is (layer == "InfiniBand")


@pytest.mark.parametrize(
    ("limit", "severity"),
    [(-1, "OK"), (15 * 2**30, "WARN"), (2**30, "WARN"), (2**30 - 1, "FAIL"), (65536, "FAIL")],
)
def test_a_limit_of_locked_memory_that_may_do_is_a_warning(limit: int, severity: str) -> None:
    answers = healthy()
    two(answers)["system"].update(capabilities=0, limits={"memlock": limit, "nofile": 20000})
    (found,) = [f for f in examined(answers, "fabric.memlock") if f.node == TWO]
    assert found.severity.value == severity
