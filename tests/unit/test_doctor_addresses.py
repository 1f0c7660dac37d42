"""Link-local and wrong addresses: which node is named, and that the checks agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.fabric import diagram
from sparkctl.fabric.selection import check_pairing
from tests.unit.doctorview import INVENTORY, examined, healthy, wrong
from tests.unit.test_cabling import node, wiring
from tests.unit.test_doctor_fabric import (
    FIRST,
    MANAGEMENT,
    ONE,
    SECOND,
    SWITCH,
    THREE,
    TWO,
    control_apart,
    give,
    three,
)
from tests.unit.test_topology import pair

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding
    from tests.unit.doctorview import Answers

FELL_BACK = "169.254.7.2/16"


def found(answers: Answers, check: str, severity: str) -> list[Finding]:
    return [f for f in examined(answers, check) if f.severity.value == severity]


def unwell(answers: Answers) -> set[tuple[str, str | None, str]]:
    """(check, node, severity) of what is wrong without traffic, whose answers are the healthy
    pair's.
    """
    return {w for w in wrong(answers) if w[0] not in ("fabric.ping", "host.firewall")}


def codes(answers: Answers, check: str, name: str) -> set[tuple[str, str]]:
    return {(f.severity.value, f.code) for f in examined(answers, check) if f.node == name}


# Link-local addresses.


@pytest.mark.parametrize("lost", [FIRST, SECOND])
@pytest.mark.parametrize("name", [ONE, TWO])
def test_a_half_that_fell_back_is_named_by_all_checks(name: str, lost: str) -> None:
    answers = healthy()
    give(answers, name, lost, FELL_BACK)
    assert {w for w in unwell(answers) if w[2] == "FAIL"} == {
        ("fabric.addresses", name, "FAIL"),
        ("fabric.pairing", name, "FAIL"),
    }
    (address,) = found(answers, "fabric.addresses", "FAIL")
    assert (address.code, address.data["interface"]) == ("link-local", lost)
    assert address.data["peers"] == [n for n in (ONE, TWO) if n != name]
    assert "192.168.10" in address.summary
    (paired,) = found(answers, "fabric.pairing", "FAIL")
    assert paired.code == "half-without-peer"
    assert paired.data["interface"] == lost
    assert "the interface is not configured" in paired.summary
    assert ("INFO", "link-local") in codes(answers, "fabric.gid", name)
    # Nothing advises to keep the address.
    kept = [f for f in examined(answers, "fabric.persistent") if FELL_BACK in f.summary]
    assert [(f.severity.value, f.code, f.fix) for f in kept] == [("INFO", "link-local", None)]


def test_the_only_half_that_fell_back_is_no_socket_of_the_peers_subnet() -> None:
    answers = healthy()
    for name in (ONE, TWO):
        give(answers, name, SECOND)
    give(answers, ONE, FIRST, FELL_BACK)
    (failure,) = [f for f in found(answers, "fabric.pairing", "FAIL") if f.code == "socket-subnet"]
    assert failure.node == ONE, "the peer's address was configured"
    assert "is not configured" in failure.summary
    assert (failure.data["address"], failure.data["other_address"]) == (
        FELL_BACK,
        "192.168.100.12/24",
    )


@pytest.mark.parametrize("halves", [(FIRST,), (SECOND,)])
def test_link_local_at_both_ends_works_for_now(halves: tuple[str, ...]) -> None:
    answers = healthy()
    for number, name in enumerate((ONE, TWO), 1):
        for interface in halves:
            give(answers, name, interface, f"169.254.7.{number}/16")
    assert unwell(answers) == {("fabric.addresses", n, "WARN") for n in (ONE, TWO)}
    assert {f.code for f in found(answers, "fabric.addresses", "WARN")} == {"link-local"}
    sockets = {n: answers.snapshot().choice(n).address for n in (ONE, TWO)}
    assert not any(a.startswith("169.254.") for a in sockets.values())


def test_a_node_alone_with_a_link_local_half_is_warned() -> None:
    answers = healthy()
    give(answers, TWO, FIRST, FELL_BACK)
    answers.facts = {TWO: answers.facts[TWO]}
    assert ("WARN", "link-local") in codes(answers, "fabric.addresses", TWO)


def test_a_wrong_address_elsewhere_does_not_make_link_local_ends_fail() -> None:
    answers = healthy()
    for number, name in enumerate((ONE, TWO), 1):
        give(answers, name, FIRST, f"169.254.7.{number}/16")
    give(answers, TWO, SECOND, "192.168.107.12/24")
    assert {f.severity.value for f in examined(answers, "fabric.addresses")} == {"WARN", "OK"}


@pytest.mark.parametrize("odd", [ONE, TWO, THREE])
def test_on_a_switch_the_node_that_fell_back_is_named(odd: str) -> None:
    answers = three(SWITCH)
    interface = answers.facts[odd]["ib"]["rocep1s0f0"]["netdevs"][0]
    give(answers, odd, interface, FELL_BACK)
    for check in ("fabric.addresses", "fabric.pairing"):
        assert {f.node for f in found(answers, check, "FAIL")} == {odd}


# Wrong addresses.


def test_two_nodes_cannot_show_whose_address_is_wrong() -> None:
    answers = healthy()
    give(answers, ONE, SECOND, "192.168.107.11/24")
    (failure,) = found(answers, "fabric.pairing", "FAIL")
    assert failure.code == "half-without-peer"
    for word in (ONE, TWO, "192.168.107.11/24", "192.168.101.12/24"):
        assert word in failure.summary
    assert failure.data["addresses"] == ("192.168.101.12/24",)
    assert failure.data["other_nodes"] == [ONE]
    assert failure.data["other_interfaces"] == [SECOND]
    assert failure.data["other_addresses"] == ["192.168.107.11/24"]
    assert failure.fix
    assert f"{SECOND} or {ONE}'s {SECOND}" in failure.fix.text


def test_nothing_advises_to_keep_an_address_that_may_be_wrong() -> None:
    answers = healthy()
    give(answers, TWO, SECOND, "192.168.107.12/24")
    assert unwell(answers) == {("fabric.pairing", TWO, "FAIL")}
    kept = [f for f in examined(answers, "fabric.persistent") if f.node == TWO]
    assert [(f.severity.value, f.code) for f in kept] == [
        ("OK", "ok"),
        ("INFO", "half-without-peer"),
    ]


@pytest.mark.parametrize("odd", [ONE, TWO, THREE])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_of_three_nodes_the_odd_one_out_is_named(odd: str, place: int) -> None:
    subnets = ((107, 101), (100, 107), (107, 108))[place]
    answers = three({**SWITCH, odd: subnets})
    failures = found(answers, "fabric.pairing", "FAIL")
    assert {f.node for f in failures} == {odd}
    assert not any(f.data.get("other_nodes") for f in failures)
    sockets = [f for f in failures if f.code == "socket-subnet"]
    assert [f.data["certain"] for f in sockets] == ([True, True] if place == 2 else [])
    assert all("which 2 nodes share" in f.summary for f in sockets)


def test_sockets_in_two_subnets_name_both_ends() -> None:
    one, two = pair("10.0.0.1/24"), pair("10.0.1.2/24")
    (mismatch,) = check_pairing({"a": one, "b": two})
    assert mismatch.node == "b"
    assert mismatch.data == {
        "interface": "one",
        "address": "10.0.1.2/24",
        "other": "a",
        "other_interface": "one",
        "other_address": "10.0.0.1/24",
        "certain": False,
    }
    for word in ("a's", "b's", "10.0.0.1/24", "10.0.1.2/24"):
        assert word in mismatch.text
    (mismatch,) = check_pairing({"a": one, "b": two}, {"c": pair("10.0.1.3/24")})
    assert (mismatch.node, mismatch.data["certain"]) == ("a", True)


def test_of_three_the_node_with_another_number_of_hcas_is_named() -> None:
    one, four = pair("10.0.0.1/24"), pair("10.0.0.2/24", "10.0.1.2/24")
    (mismatch,) = check_pairing({"a": one, "b": four}, {"c": pair("10.0.0.3/24")})
    assert (mismatch.node, mismatch.code) == ("b", "hca-count")
    assert check_pairing({"a": one, "c": pair("10.0.0.3/24")}, {"b": four}) == []


def test_a_duplicate_names_both_interfaces() -> None:
    (mismatch,) = check_pairing({"a": pair("10.0.0.1/24"), "b": pair("10.0.0.1/24")})
    assert (mismatch.code, mismatch.data["other_interface"]) == ("duplicate-address", "one")
    assert "on a" in mismatch.text


def test_no_common_subnet_names_every_address() -> None:
    answers = control_apart()
    give(answers, TWO, FIRST, "192.168.107.12/24")
    give(answers, TWO, SECOND, "192.168.108.12/24")
    first, _ = found(answers, "fabric.pairing", "FAIL")
    assert first.data["other_addresses"] == ["192.168.100.11/24", "192.168.101.11/24"]
    nodes = {ONE: (100, 101), TWO: (100, 101), THREE: (107, 108), "spark-4": (107, 108)}
    apart = found(three(nodes, MANAGEMENT), "fabric.pairing", "FAIL")
    assert {f.code for f in apart} == {"no-common-subnet"}
    mine = ["192.168.107.13/24", "192.168.108.13/24"]
    theirs = ["192.168.100.11/24", "192.168.101.11/24"]
    assert (apart[0].data["addresses"], apart[0].data["peer_addresses"]) == (mine, theirs)
    assert all(address in apart[0].summary for address in (*mine, *theirs))


def test_the_half_of_a_ring_that_lost_its_neighbour_lists_both_ends() -> None:
    ring: dict[str, Any] = {"a": node(1, 1, 5), "b": node(2, 3, 1), "c": node(3, 5, 9)}
    lost = wiring(**ring).astray("a", "b")
    assert [(o.node, o.half.hca) for o in lost] == [("b", "hca0")]
    assert [(n, h.hca) for n, h in lost[0].others] == [("c", "hca1")]


# What the other checks say where little is known.


def test_a_node_without_any_address_has_each_half_named() -> None:
    answers = healthy()
    give(answers, TWO, FIRST)
    give(answers, TWO, SECOND)
    failures = [f for f in found(answers, "fabric.addresses", "FAIL") if f.node == TWO]
    assert [(f.code, f.data["interface"]) for f in failures] == [
        ("address-missing", FIRST),
        ("address-missing", SECOND),
    ]
    assert codes(answers, "fabric.choice", TWO) == {("FAIL", "no-usable-port")}
    assert codes(answers, "fabric.halves", TWO) == {("UNKNOWN", "unread")}
    for half in ("rocep1s0f0", "roceP2p1s0f0"):  # nor a cable
        answers.facts[TWO]["ib"][half]["ports"]["1"]["state"] = "DOWN"
    assert codes(answers, "fabric.addresses", TWO) == {("UNKNOWN", "unread")}


def test_a_peer_whose_halves_are_unread_is_unknown_to_fabric_gid() -> None:
    answers = healthy()
    del answers.facts[ONE]["ib"]
    unread = [f for f in examined(answers, "fabric.gid") if f.code == "peer-unread"]
    assert [(f.node, f.severity.value, f.data["peer"]) for f in unread] == [(TWO, "UNKNOWN", ONE)]
    assert ("OK", "ok") in codes(answers, "fabric.gid", TWO), "its own GIDs are known"


@pytest.mark.parametrize(("value", "index"), [("", 3), ("10.9.0.0/16", 5)])
def test_fabric_show_knows_the_range_of_addresses(value: str, index: int) -> None:
    text = INVENTORY + (f"env: {{set: {{NCCL_IB_ADDR_RANGE: {value}}}}}\n" if value else "")
    answers = healthy(text)
    give(answers, TWO, FIRST, "192.168.100.12/24", "10.9.0.2/24")
    drawn = diagram(answers.snapshot()).nodes[1].ports[0]
    assert drawn.gid_index == index
