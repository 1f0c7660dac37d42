"""Cages, halves and the choice between them, from the facts of differently built nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.errors import PreflightError
from sparkctl.fabric import topology
from sparkctl.fabric.cabling import Wiring
from sparkctl.fabric.port_errors import NO_DEVICE
from sparkctl.fabric.port_selection import options, unused
from sparkctl.fabric.selection import FabricChoice, check_pairing
from sparkctl.inventory.models import Inventory
from sparkctl.plan.fabric import fabric_spec
from tests.unit.answers import interface, node_facts

if TYPE_CHECKING:
    from sparkctl.fabric.topology import Half

Facts = dict[str, Any]
# Interface, RDMA device, PCI address, phys_port_name; the wiring of a DGX Spark.
SPARK = (
    ("enp1s0f0np0", "rocep1s0f0", "0000:01:00.0", "p0"),
    ("enP2p1s0f0np0", "roceP2p1s0f0", "0002:01:00.0", "p0"),
    ("enp1s0f1np1", "rocep1s0f1", "0000:01:00.1", "p1"),
    ("enP2p1s0f1np1", "roceP2p1s0f1", "0002:01:00.1", "p1"),
)
LOW, HIGH = ("192.168.100.11/24", "192.168.101.11/24"), ("192.168.102.11/24", "192.168.103.11/24")


def net(pci: str | None, port: str | None, ipv4: list[str], *, up: bool = True) -> Facts:
    return interface(*ipv4, pci=pci, phys_port_name=port, up=up, carrier=int(up))


def device(
    netdevs: list[str], pci: str | None, ndev: str | None = None, *, active: bool = True
) -> Facts:
    gids = [{"index": 0, "gid": "fe80::1", "type": "RoCE v2", "ndev": ndev}] if ndev else []
    port = {
        "state": "ACTIVE" if active else "DOWN",
        "phys_state": "LinkUp" if active else "Polling",
        "rate": "200 Gb/sec (2X NDR)",
        "link_layer": "Ethernet",
        "gids": gids,
    }
    return {"netdevs": netdevs, "pci": pci, "guid": "0200:00ff:fe00:0001", "ports": {"1": port}}


def spark(*addresses: str | None, names: tuple[str, ...] = ()) -> Facts:
    """A Spark: an address for each function in the table's order; None is a port without cable."""
    facts: Facts = {
        "net": {"lo": net(None, None, ["127.0.0.1/8"]), "enP7s7": net(None, None, ["10.0.0.1/24"])},
        "ib": {},
    }
    padded = (*addresses, None, None, None, None)
    for index, (netdev, hca, pci, port) in enumerate(SPARK):
        address = padded[index]
        up = address is not None
        facts["net"][netdev] = net(pci, port, [address] if address else [], up=up)
        name = names[index] if names else hca
        facts["ib"][name] = device([netdev], pci, active=up)
    return facts


def halves(facts: Facts) -> tuple[Half, ...]:
    return topology.halves(node_facts(facts))


def inventory(fabric: Facts | None = None, **node: Any) -> Inventory:
    nodes = [{"name": "spark-1", "host": "h", "role": "head", "fabric": node}]
    return Inventory.model_validate(
        {"cluster": "c", "nodes": nodes, "vllm": {"model": "m"}, "fabric": fabric or {}}
    )


def chosen(facts: Facts, fabric: Facts | None = None, **node: Any) -> FabricChoice:
    made = inventory(fabric, **node)
    return options(fabric_spec(made, made.head), node_facts(facts))[0].choice


def refused(facts: Facts, fabric: Facts | None = None, **node: Any) -> PreflightError:
    with pytest.raises(PreflightError) as caught:
        chosen(facts, fabric, **node)
    assert caught.value.node == "spark-1"
    assert caught.value.hint
    assert {"expected", "got"} <= caught.value.data.keys()
    return caught.value


CAGE_0 = FabricChoice(
    "192.168.100.11", ("enp1s0f0np0", "enP2p1s0f0np0"), ("rocep1s0f0", "roceP2p1s0f0"), LOW
)
CAGE_1 = FabricChoice(
    "192.168.102.11", ("enp1s0f1np1", "enP2p1s0f1np1"), ("rocep1s0f1", "roceP2p1s0f1"), HIGH
)


def test_a_normal_pair() -> None:
    facts = spark(*LOW)
    assert [(h.hca, h.interface, h.cage, h.active) for h in halves(facts)] == [
        ("rocep1s0f0", "enp1s0f0np0", 0, True),
        ("roceP2p1s0f0", "enP2p1s0f0np0", 0, True),
        ("rocep1s0f1", "enp1s0f1np1", 1, False),
        ("roceP2p1s0f1", "enP2p1s0f1np1", 1, False),
    ]
    assert chosen(facts) == CAGE_0


def test_the_other_cage_on_the_other_node() -> None:
    assert chosen(spark(None, None, *HIGH)) == CAGE_1
    other = chosen(spark(None, None, "192.168.100.12/24", "192.168.101.12/24"))
    assert check_pairing({"spark-1": CAGE_0, "spark-2": other}) == []


def test_mlx5_names_in_any_order() -> None:
    facts = spark(*LOW, names=("mlx5_10", "mlx5_2", "mlx5_0", "mlx5_1"))
    assert chosen(facts).hcas == ("mlx5_10", "mlx5_2")  # by PCI address, not by name


@pytest.mark.parametrize("without", ["netdevs", "phys_port_name", "both"])
def test_pairing_by_pci_alone_where_a_link_is_missing(without: str) -> None:
    facts = spark(None, None, *HIGH)
    for found in facts["ib"].values() if without != "phys_port_name" else ():
        found["netdevs"] = []
    for found in facts["net"].values() if without != "netdevs" else ():
        found["phys_port_name"] = None
    assert chosen(facts) == CAGE_1
    assert halves(facts)[2].cage == 1


@pytest.mark.parametrize("parent", [["eth1"], []])
def test_rxe_has_no_pci_and_is_paired_by_parent_or_gid(parent: list[str]) -> None:
    facts = {
        "net": {"eth0": net(None, None, ["10.0.0.1/24"]), "eth1": net(None, None, [LOW[0]])},
        "ib": {"rxe0": device(parent, None, "eth1")},
    }
    assert chosen(facts) == FabricChoice("192.168.100.11", ("eth1",), ("rxe0",), (LOW[0],))


def soft(*ports: tuple[str, str, str | None]) -> Facts:
    """Soft-RoCE: a netdev and its RDMA device each, with an address; None is DOWN without one."""
    facts: Facts = {"net": {}, "ib": {}}
    for netdev, hca, address in ports:
        up = address is not None
        facts["net"][netdev] = net(None, None, [address] if address else [], up=up)
        facts["ib"][hca] = device([netdev], None, active=up)
    return facts


def caged(facts: Facts) -> dict[str, int]:
    return {half.interface: half.cage for half in halves(facts)}


def test_without_pci_the_netdevs_names_name_the_cages() -> None:
    ports = [(netdev, hca, None) for netdev, hca, _, _ in SPARK]
    addressed = [(*port[:2], address) for port, address in zip(ports[2:], HIGH, strict=True)]
    facts = soft(*ports[:2], *addressed)
    assert list(caged(facts).items()) == [
        ("enp1s0f0np0", 0),
        ("enP2p1s0f0np0", 0),
        ("enp1s0f1np1", 1),
        ("enP2p1s0f1np1", 1),
    ]
    assert chosen(facts) == CAGE_1


@pytest.mark.parametrize("first", ["rocep1s0f0", "mlx5_0", "zz"])
def test_without_pci_the_first_half_is_that_of_the_first_domain(first: str) -> None:
    halves_of = [("enP2p1s0f0np0", "roceP2p1s0f0", LOW[1]), ("enp1s0f0np0", first, LOW[0])]
    renamed, usual = soft(*halves_of), spark(*LOW)
    assert [h.hca for h in halves(renamed)] == [first, "roceP2p1s0f0"]
    used = (("a", halves(renamed)), ("b", halves(usual)[:2]))
    assert Wiring(used).crossed("a", "b") == []


@pytest.mark.parametrize(
    ("names", "cages"),
    [
        (["ens3np0", "ens2np0", "ens3np1", "ens2np1"], [0, 0, 1, 1]),
        (["enp1s0f1np1.100", "enP2p1s0f1np1.100"], [1, 1]),
        # No port in the name: the port of a NIC with two functions, a virtual function, a user's.
        (["enp1s0f0", "enp1s0f1"], [0, 0]),
        (["enp1s0f0np0v1", "enp1s0f1np1v1"], [0, 0]),
        (["fabric0", "fabric1", "bond0"], [0, 0, 0]),
        # Those come after the last that has one.
        (["enp1s0f0np0", "enP2p1s0f0np0", "fabric0"], [0, 0, 1]),
    ],
)
def test_which_names_name_a_cage(names: list[str], cages: list[int]) -> None:
    facts = soft(*((name, f"rxe{i}", f"10.0.{i}.1/24") for i, name in enumerate(names)))
    found = caged(facts)
    assert [found[name] for name in names] == cages


def test_a_parent_that_is_no_pci_function_names_no_cage() -> None:
    facts = soft(("enp1s0f1np1", "siw0", LOW[0]), ("enP2p1s0f1np1", "siw1", LOW[1]))
    for found in facts["ib"].values():
        found["pci"] = "virtio1"
    assert set(caged(facts).values()) == {1}


def test_phys_port_name_is_asked_before_the_name() -> None:
    facts = soft(("enp1s0f0np0", "rxe0", LOW[0]))
    facts["net"]["enp1s0f0np0"]["phys_port_name"] = "p1"
    assert caged(facts) == {"enp1s0f0np0": 1}


@pytest.mark.parametrize(
    ("addresses", "cages"),
    [
        ((*LOW, None, None), [0, 0, 1, 1]),
        ((LOW[0], None, None, LOW[1]), [0, 1, 1, 0]),
        ((LOW[0], None, None, None), [0, 1, 1, 1]),
        # A cage has two halves, and with nothing in use nothing is known.
        ((LOW[0], None), [0, 0]),
        ((None, None, None, None), [0, 0, 0, 0]),
        ((*LOW, *HIGH), [0, 0, 0, 0]),
    ],
)
def test_of_ports_without_a_name_those_that_nobody_uses_are_apart(
    addresses: tuple[str | None, ...], cages: list[int]
) -> None:
    facts = soft(*((f"eth{i}", f"rxe{i}", address) for i, address in enumerate(addresses)))
    assert list(dict(sorted(caged(facts).items())).values()) == cages


@pytest.mark.parametrize("lost", ["address", "link"])
def test_a_half_that_lost_its_address_or_its_link_is_still_in_use(lost: str) -> None:
    facts = soft(*((f"eth{i}", f"rxe{i}", a) for i, a in enumerate((*LOW, None, None))))
    if lost == "address":
        facts["net"]["eth1"]["ipv4"] = []
    else:
        facts["ib"]["rxe1"]["ports"]["1"]["state"] = "DOWN"
    assert caged(facts) == {"eth0": 0, "eth1": 0, "eth2": 1, "eth3": 1}


def test_soft_roce_is_no_half_of_a_nics_cage() -> None:
    facts = spark(*LOW)
    facts["ib"]["rxe0"] = device(["enp1s0f0np0"], None)
    assert [half.cage for half in halves(facts) if half.hca == "rxe0"] == [2]


def test_no_cable_takes_the_nic_off_the_bus() -> None:
    facts = {"net": {"enP7s7": net(None, None, ["10.0.0.1/24"])}, "ib": {}}
    for code, node in (
        ("no-usable-port", {}),
        ("cage-missing", {"cage": 0}),
        ("hca-unknown", {"hcas": ["rocep1s0f0"]}),
    ):
        error = refused(facts, **node)
        assert (error.code, error.data["got"]) == (code, NO_DEVICE)


def test_of_two_cages_the_lowest_unless_told() -> None:
    facts = spark(*LOW, *HIGH)
    assert chosen(facts) == CAGE_0
    assert chosen(facts, cage=1) == CAGE_1
    assert chosen(facts, {"cage": 1}) == CAGE_1
    assert chosen(facts, {"cage": 1}, cage=0) == CAGE_0
    assert chosen(facts, {"subnets": ["192.168.102.0/24", "192.168.103.0/24"]}) == CAGE_1


def test_a_whole_cage_before_half_a_lower_one() -> None:
    assert chosen(spark(LOW[0], "", *HIGH)) == CAGE_1


def test_one_half_without_an_address_is_left_out() -> None:
    facts = spark(LOW[0], "")
    choice = chosen(facts)
    assert choice == FabricChoice(
        "192.168.100.11", ("enp1s0f0np0",), ("rocep1s0f0",), ("192.168.100.11/24",)
    )
    assert unused(choice, halves(facts)) == []
    assert unused(CAGE_0, halves(spark(*LOW, *HIGH))) == []
    assert [h.hca for h in unused(choice, halves(spark(*LOW)))] == ["roceP2p1s0f0"]
    two = chosen(spark("192.168.100.12/24", "192.168.101.12/24"))
    problems = check_pairing({"spark-1": choice, "spark-2": two})
    (found,) = problems
    assert (found.node, found.code) == ("spark-1", "hca-count"), "the one that lacks a half"
    assert found.data == {"hcas": ("rocep1s0f0",), "usual": 2, "like": "spark-2"}


def test_no_half_has_an_address() -> None:
    error = refused(spark("", ""))
    assert (error.code, error.data["down"]) == ("no-usable-port", [])
    assert error.data["hcas"] == ["rocep1s0f0", "roceP2p1s0f0", "rocep1s0f1", "roceP2p1s0f1"]
    # The message lists what each port lacks.
    assert "rocep1s0f0 (enp1s0f0np0) ACTIVE, no IPv4" in error.message
    assert "rocep1s0f1 (enp1s0f1np1) not ACTIVE" in error.message
    error = refused(spark("", ""), cage=0)
    assert (error.code, error.data["interface"]) == ("address-missing", "enp1s0f0np0")
    assert "ip address add" in (error.hint or "")


def test_an_address_outside_the_given_subnets_is_not_taken() -> None:
    error = refused(spark(*LOW), {"subnets": ["10.1.0.0/16"]})
    assert error.code == "no-usable-port"
    assert "10.1.0.0/16 (fabric.subnets)" in str(error.data["expected"])
    assert "192.168.100.11/24" in str(error.data["got"])


def test_explicit_values_win() -> None:
    facts = spark(*LOW, *HIGH)
    assert chosen(facts, interfaces=list(CAGE_1.interfaces)) == CAGE_1
    assert chosen(facts, addresses=["192.168.102.11", "192.168.103.11"]) == CAGE_1
    assert chosen(facts, hcas=list(CAGE_1.hcas)) == CAGE_1
    mixed = chosen(facts, interfaces=["enP7s7"], hcas=["rocep1s0f1"])
    assert (mixed.address, mixed.hcas) == ("10.0.0.1", ("rocep1s0f1",))
    facts["net"]["enp1s0f0np0"]["ipv4"].append("10.9.0.1/24")
    assert chosen(facts, cage=0, addresses=["10.9.0.1"]).address == "10.9.0.1"


@pytest.mark.parametrize(
    ("node", "code", "expected", "got"),
    [
        ({"interfaces": ["eth9"]}, "interface-unknown", "interface eth9", "enP2p1s0f0np0"),
        ({"hcas": ["mlx5_0"]}, "hca-unknown", "RDMA device mlx5_0", "rocep1s0f0, roceP2p1s0f0"),
        ({"cage": 2}, "cage-missing", "cage 2", "cages 0, 1"),
        (
            {"addresses": ["10.2.2.2"]},
            "address-unknown",
            "10.2.2.2 on enp1s0f0np0",
            f"{LOW[0]} on enp1s0f0np0",
        ),
        (
            {"interfaces": ["enp1s0f0np0"], "addresses": ["192.168.101.11"]},
            "address-unknown",
            "192.168.101.11 on enp1s0f0np0",
            f"{LOW[0]} on enp1s0f0np0",
        ),
    ],
)
def test_explicit_values_are_checked(node: Facts, code: str, expected: str, got: str) -> None:
    error = refused(spark(*LOW), **node)
    assert error.code == code
    assert error.data["path"] == f"fabric.{next(reversed(node))}"
    assert error.data["expected"] == expected
    assert got in str(error.data["got"])


@pytest.mark.parametrize(
    ("node", "code", "text"),
    [
        (
            {"interfaces": ["rocep1s0f0"]},
            "interface-unknown",
            "fabric.interfaces: rocep1s0f0 is an RDMA device; its interface is enp1s0f0np0",
        ),
        (
            {"hcas": ["enp1s0f0np0"]},
            "hca-unknown",
            "fabric.hcas: enp1s0f0np0 is a network interface; its RDMA device is rocep1s0f0",
        ),
    ],
)
def test_the_message_names_the_device_that_was_meant(node: Facts, code: str, text: str) -> None:
    error = refused(spark(*LOW), **node)
    assert (error.code, error.message) == (code, text)


def test_a_device_without_an_interface_cannot_be_chosen() -> None:
    facts = spark(*LOW)
    facts["ib"]["mlx5_9"] = device([], "0005:01:00.0")
    error = refused(facts, hcas=["mlx5_9"])
    assert (error.code, error.data["hca"]) == ("hca-unknown", "mlx5_9")
    error = refused(facts, interfaces=["mlx5_9"])
    assert (error.code, error.data["interface"]) == ("interface-unknown", "mlx5_9")


def test_an_explicit_cage_without_its_cable() -> None:
    facts = spark(*LOW)
    facts["net"]["enp1s0f1np1"]["ipv4"] = [HIGH[0]]
    facts["ib"]["rocep1s0f1"]["ports"]["1"]["gids"] = [
        {"index": 3, "gid": "::ffff:c0a8:660b", "type": "RoCE v2", "ndev": "enp1s0f1np1"}
    ]  # it outlives the cable
    both = ["rocep1s0f1", "roceP2p1s0f1"]
    for node, hcas in (({"cage": 1}, both), ({"interfaces": ["enp1s0f1np1"]}, both[:1])):
        error = refused(facts, **node)
        assert (error.code, error.data["hcas"]) == ("port-not-active", hcas)
        assert error.data["usable"] == ["rocep1s0f0", "roceP2p1s0f0"]
        assert "the cable is in cage 0" in (error.hint or "")


def pair(*addresses: str, hcas: tuple[str, ...] = ("a", "b")) -> FabricChoice:
    names = ("one", "two")[: len(addresses)]
    return FabricChoice(addresses[0].partition("/")[0], names, hcas[: len(addresses)], addresses)


@pytest.mark.parametrize(
    ("one", "two", "node", "code"),
    [
        (
            pair("10.0.0.1/24", "10.0.1.1/24"),
            pair("10.0.1.2/24", "10.0.0.2/24"),
            "b",
            "socket-subnet",
        ),
        (pair("10.0.0.1/16"), pair("10.0.1.2/24"), "b", "socket-subnet"),
        (
            pair("10.0.0.1/24", "10.0.0.3/24"),
            pair("10.0.0.2/24", "10.0.1.2/24"),
            "a",
            "halves-share-subnet",
        ),
        (
            pair("10.0.0.1/24", "10.0.0.200/25"),
            pair("10.0.0.2/24", "10.0.1.2/24"),
            "a",
            "halves-share-subnet",
        ),
        (pair("10.0.0.1/24"), pair("10.0.0.1/24"), "b", "duplicate-address"),
        (pair("10.0.0.1/24"), pair("10.0.0.2/24", hcas=()), "b", "no-rdma-device"),
    ],
)
def test_what_cannot_be_paired(one: FabricChoice, two: FabricChoice, node: str, code: str) -> None:
    (found,) = check_pairing({"a": one, "b": two})
    assert (found.node, found.code) == (node, code)


def test_good_pairs_have_no_problems() -> None:
    good = {f"n{i}": pair(f"10.0.0.{i}/24", f"10.0.1.{i}/24") for i in range(1, 17)}
    assert check_pairing(good) == []
    assert check_pairing({}) == []


def two_nics(*ports: tuple[str | None, str | None]) -> tuple[Half, ...]:
    """The halves of two NICs with two ports each, by each port's address and its NIC's GUID."""
    facts: Facts = {"net": {}, "ib": {}}
    for at, (address, guid) in enumerate(ports):
        name, pci = f"net{at}", f"0000:{'41' if at < 2 else 'c1'}:00.{at % 2}"
        own = [address] if address else []
        facts["net"][name] = net(pci, f"p{at % 2}", own, up=bool(own))
        facts["ib"][f"mlx5_{at}"] = {**device([name], pci, active=bool(own)), "guid": guid}
    return topology.halves(node_facts(facts))


def cages(found: tuple[Half, ...]) -> dict[str, int]:
    return {half.hca: half.cage for half in found}


def test_an_idle_port_of_another_nic_is_no_half_of_a_used_cage() -> None:
    one, two = LOW
    found = two_nics((one, "a"), (two, "a"), (None, "b"), (None, "b"))
    assert cages(found) == {"mlx5_0": 0, "mlx5_1": 1, "mlx5_2": 2, "mlx5_3": 2}
    # Ports that are used may be two rails, and what has no GUID may be of the same NIC.
    found = two_nics((one, "a"), (None, "a"), (two, "b"), (None, "b"))
    assert cages(found) == {"mlx5_0": 0, "mlx5_1": 1, "mlx5_2": 0, "mlx5_3": 1}
    found = two_nics((one, None), (two, "a"), (None, "b"), (None, None))
    assert cages(found) == {"mlx5_0": 0, "mlx5_1": 1, "mlx5_2": 0, "mlx5_3": 1}
