"""The halves of the cable: up, addressed, kept after a reboot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.doctorview import INVENTORY, examined, healthy, wrong

if TYPE_CHECKING:
    from tests.unit.doctorview import Answers

ONE, TWO = "spark-1", "spark-2"
HALVES = {"enp1s0f0np0": "rocep1s0f0", "enP2p1s0f0np0": "roceP2p1s0f0"}


def two(answers: Answers) -> Any:
    """The second node's facts, to be changed."""
    return answers.facts[TWO]


def test_two_halves_that_are_down_can_be_brought_up() -> None:
    answers = healthy()
    for interface, hca in HALVES.items():
        two(answers)["net"][interface].update(up=False, carrier=None, operstate="down")
        two(answers)["ib"][hca]["ports"]["1"].update(state="DOWN", phys_state="Disabled")
    found = [f for f in examined(answers, "fabric.halves") if f.node == TWO]
    assert [f.code for f in found] == ["interface-down", "interface-down"]
    assert [f.fix is not None and len(f.fix.actions) for f in found] == [1, 1]
    (choice,) = [f for f in examined(answers, "fabric.choice") if f.node == TWO]
    assert choice.fix is not None
    assert all(interface in choice.fix.text for interface in HALVES)


@pytest.mark.parametrize("given", ["hcas: [rocep1s0f0]", "interfaces: [enp1s0f0np0]"])
def test_a_half_that_the_inventory_leaves_out_on_every_node_is_a_warning(given: str) -> None:
    text = INVENTORY.replace("role: head", f"role: head, fabric: {{{given}}}")
    answers = healthy(text.replace("role: worker", f"role: worker, fabric: {{{given}}}"))
    assert wrong(answers) == {("fabric.halves", n, "WARN") for n in answers.names}
    (one, _) = [f for f in examined(answers, "fabric.halves") if f.severity.value == "WARN"]
    assert (one.code, one.data["hca"]) == ("half-unused", "roceP2p1s0f0")
    assert one.evidence[0].got == "rocep1s0f0"


def test_subnets_that_leave_a_half_out() -> None:
    answers = healthy(INVENTORY + "fabric: {subnets: [192.168.100.0/24]}\n")
    assert wrong(answers) == {("fabric.halves", n, "WARN") for n in answers.names}


def test_the_same_address_on_two_nodes() -> None:
    answers = healthy()
    net = two(answers)["net"]["enp1s0f0np0"]
    net["ipv4"] = answers.facts[ONE]["net"]["enp1s0f0np0"]["ipv4"]
    found = [f for f in examined(answers, "fabric.pairing") if f.severity.value == "FAIL"]
    assert [(f.node, f.code) for f in found] == [(TWO, "duplicate-address")]
    assert found[0].fix
    assert "another address of the same subnet" in found[0].fix.text


def test_fewer_hcas_than_the_other_nodes_are_not_cured_by_subnets() -> None:
    answers = healthy(INVENTORY.replace("worker", "worker, fabric: {hcas: [rocep1s0f0]}"))
    (found,) = [f for f in examined(answers, "fabric.pairing") if f.severity.value == "FAIL"]
    assert (found.node, found.code) == (TWO, "hca-count")
    assert found.fix
    assert "fabric.hcas" in found.fix.text
    assert "subnet of its own" not in found.fix.text


def file(**found: Any) -> dict[str, Any]:
    """One of the node's network files, which names nothing but what is given."""
    nothing = {"addresses": [], "interfaces": [], "dhcp": False, "link_local": False}
    return {"path": "/etc/netplan/x.yaml", **nothing, **found}


def test_one_half_that_is_in_no_network_file() -> None:
    answers = healthy()
    two(answers)["persistence"]["files"] = [file(addresses=["192.168.100.12", "192.168.101.11"])]
    (finding,) = [f for f in examined(answers, "fabric.persistent") if f.severity.value == "WARN"]
    assert finding.data == {"interface": "enP2p1s0f0np0", "address": "192.168.101.12/24"}
    assert "192.168.101.11 in /etc/netplan/x.yaml" in finding.evidence[0].got


def test_network_files_that_may_not_be_read_are_unknown() -> None:
    answers = healthy()
    two(answers)["persistence"] = {"files": [], "unread": ["/etc/netplan/60-fabric.yaml"]}
    assert wrong(answers) == {("fabric.persistent", TWO, "UNKNOWN")}
    (one, _) = [f for f in examined(answers, "fabric.persistent") if f.node == TWO]
    assert "/etc/netplan/60-fabric.yaml" in one.summary  # what to make readable


@pytest.mark.parametrize(
    ("way", "address", "kept"),
    [
        ("dhcp", "192.168.100.12/24", True),
        ("link_local", "192.168.100.12/24", False),
        ("dhcp", "169.254.100.12/16", False),
        ("link_local", "169.254.100.12/16", True),
    ],
)
def test_addresses_that_no_file_names(way: str, address: str, kept: bool) -> None:
    answers = healthy()
    two(answers)["net"]["enp1s0f0np0"]["ipv4"] = [address]
    two(answers)["persistence"]["files"] = [
        {**file(interfaces=["enp1s0f0np0"]), way: True},
        file(addresses=["192.168.101.12"]),
    ]
    found = [f for f in examined(answers, "fabric.persistent") if f.node == TWO]
    (first,) = [f for f in found if f.data["interface"] == "enp1s0f0np0"]
    if address.startswith("169.254."):  # fabric.addresses reports it: it is none to keep
        assert (first.severity.value, first.code) == ("INFO", "link-local")
        assert (first.data["path"] is not None) is kept
    else:
        assert (first.severity.value == "OK") is kept


def test_an_mtu_that_both_ends_have_is_a_warning() -> None:
    answers = healthy()
    for name in answers.names:
        answers.facts[name]["net"]["enp1s0f0np0"]["mtu"] = 1500
    assert wrong(answers) == {("fabric.mtu", n, "WARN") for n in answers.names}
    found = [f for f in examined(answers, "fabric.mtu") if f.severity.value == "WARN"]
    assert {f.code for f in found} == {"mtu-unexpected"}
    assert [(f.data["expected"], f.data["got"]) for f in found] == [(9000, 1500)] * 2


def test_an_mtu_of_which_the_other_end_is_not_known_is_no_failure() -> None:
    answers = healthy()
    two(answers)["net"]["enp1s0f0np0"]["mtu"] = 1500
    del answers.facts[ONE]["net"]
    found = [f for f in examined(answers, "fabric.mtu") if f.node == TWO]
    assert [(f.severity.value, f.code) for f in found] == [("WARN", "mtu-unexpected"), ("OK", "ok")]


def test_a_port_of_another_cage_that_is_down_with_an_address_is_named() -> None:
    answers = healthy()
    answers.facts[TWO]["net"]["enp1s0f1np1"]["ipv4"] = ["10.9.0.2/24"]
    assert wrong(answers) == set()
    (found,) = [f for f in examined(answers, "fabric.halves") if f.severity.value == "INFO"]
    assert (found.node, found.code) == (TWO, "unused-port-down")
    assert found.data["addresses"] == ("10.9.0.2/24",)
