"""host.firewall: which port is blocked, which route is missing, and whose fault it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.checks.firewall import open_ports
from sparkctl.doctor.collect import _connects
from tests.unit.answers import listener
from tests.unit.doctorview import INVENTORY, examined, healthy, wrong
from tests.unit.peeranswers import peer, tried

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding
    from tests.unit.doctorview import Answers

ONE, TWO = "spark-1", "spark-2"
FIRST_HALF, SECOND_HALF = "192.168.100.11", "192.168.101.11"  # of the first node
SILENT: dict[str, Any] = {"error": "no answer within 2 s", "refused": False, "errno": None}
NO_HOST = {"error": "No route to host", "refused": False, "errno": "EHOSTUNREACH"}
NO_NET = {"error": "Network is unreachable", "refused": False, "errno": "ENETUNREACH"}
BY_GATEWAY = {"interface": "enP7s7", "gateway": "10.77.0.1", "problem": None, "neighbour": None}
NO_WAY = {
    "interface": None,
    "gateway": None,
    "problem": "ip exited with status 2: RTNETLINK answers: Network is unreachable",
    "neighbour": None,
}


def direct(neighbour: str | None, interface: str = "enp1s0f0np0") -> dict[str, Any]:
    """A route over a half, with the state of its neighbour."""
    return {"interface": interface, "gateway": None, "problem": None, "neighbour": neighbour}


def failing(answers: Answers, how: dict[str, Any], address: str = FIRST_HALF) -> Answers:
    """With the second node's connections to one of the first's addresses failing."""
    for connect in peer(answers, TWO)["connects"]:
        if connect["address"] == address:
            connect.update(how)
    return answers


def found(answers: Answers, *severities: str) -> list[Finding]:
    """What host.firewall finds, except what is well."""
    every = examined(answers, "host.firewall")
    return [f for f in every if f.severity.value in (severities or ("FAIL", "WARN", "UNKNOWN"))]


@pytest.mark.parametrize(
    ("route", "how"), [(NO_WAY, NO_NET), (NO_WAY, NO_HOST), (BY_GATEWAY, SILENT)]
)
def test_a_missing_route_is_the_sources_fault(route: dict[str, Any], how: dict[str, Any]) -> None:
    answers = failing(healthy(), how)
    peer(answers, TWO)["routes"] = {FIRST_HALF: route}
    (finding,) = found(answers)
    assert (finding.node, finding.code, finding.severity.value) == (TWO, "no-route", "FAIL")
    assert finding.data == {
        "peer": ONE,
        "address": FIRST_HALF,
        "interfaces": ["enp1s0f0np0"],
        "taken": route["interface"],
    }
    assert finding.evidence[0].where == f"ip route get {FIRST_HALF}"
    assert finding.fix is not None
    assert finding.fix.commands == (
        "sudo ip route replace 192.168.100.0/24 dev enp1s0f0np0 scope link src 192.168.100.12",
    )
    # The other half shows that no firewall drops.
    (reached,) = [f for f in found(answers, "OK") if f.node == ONE]
    assert reached.data["addresses"] == [SECOND_HALF]
    assert reached.summary.endswith(f"by {SECOND_HALF}")


def test_a_node_whose_answers_have_no_route_has_no_firewall() -> None:
    answers = failing(healthy(), NO_NET)
    peer(answers, TWO)["routes"] = {FIRST_HALF: NO_WAY}
    for connect in peer(answers, ONE)["connects"]:
        if connect["address"] == "192.168.100.12":
            connect.update(SILENT)
    peer(answers, ONE)["pings"][0].update(received=0)
    peer(answers, ONE)["routes"] = {"192.168.100.12": direct("REACHABLE")}
    assert [(f.node, f.code) for f in found(answers)] == [(TWO, "no-route")]


def test_no_host_is_a_rejection_where_pings_arrive() -> None:
    answers = failing(healthy(), NO_HOST)
    peer(answers, TWO)["routes"] = {FIRST_HALF: direct("REACHABLE")}
    assert {(f.node, f.code) for f in found(answers)} == {(ONE, "port-blocked")}
    assert all("rejected by ICMP" in f.summary for f in found(answers))


@pytest.mark.parametrize("how", [NO_HOST, SILENT])
def test_no_answer_to_arp_is_no_firewall(how: dict[str, Any]) -> None:
    answers = failing(failing(healthy(), how), how, SECOND_HALF)
    for ping in peer(answers, TWO)["pings"]:
        ping.update(received=0)
    routes = {FIRST_HALF: direct("FAILED"), SECOND_HALF: direct("FAILED", "enP2p1s0f0np0")}
    peer(answers, TWO)["routes"] = routes
    (finding,) = found(answers)
    assert (finding.node, finding.code, finding.severity.value) == (ONE, "path-lossy", "UNKNOWN")
    assert "see fabric.ping" in finding.summary
    # Without pings, as on a management network, nothing else would say so.
    peer(answers, TWO)["pings"] = []
    (finding,) = found(answers)
    assert (finding.node, finding.code, finding.severity.value) == (TWO, "host-unreachable", "FAIL")
    assert finding.evidence[0].got == "neighbour FAILED"


def test_a_firewall_that_drops_everything_is_found_by_arp() -> None:
    answers = failing(healthy(), SILENT)
    peer(answers, TWO)["pings"][0].update(received=0)
    peer(answers, TWO)["routes"] = {FIRST_HALF: direct("REACHABLE")}
    assert {(f.node, f.code) for f in found(answers)} == {(ONE, "port-blocked")}


def test_a_connection_lost_on_a_lossy_half_is_no_firewall() -> None:
    answers = failing(healthy(), SILENT)
    peer(answers, TWO)["pings"][0].update(received=30)
    assert found(answers) == []  # the other half shows that the ports are open
    failing(answers, SILENT, SECOND_HALF)
    assert {(f.node, f.data["address"]) for f in found(answers)} == {(ONE, SECOND_HALF)}
    # Of few lost packets, a connection's two are not both among them.
    peer(answers, TWO)["pings"][0].update(received=49)
    assert {(f.node, f.data["address"]) for f in found(answers)} == {(ONE, FIRST_HALF)}


def test_ports_behind_a_lossy_path_alone_are_unknown() -> None:
    answers = healthy()
    look = peer(answers, TWO)
    look["connects"] = [c for c in look["connects"] if c["address"] == FIRST_HALF]
    failing(answers, SILENT)
    look["pings"][0].update(received=30)
    (finding,) = found(answers)
    assert (finding.node, finding.code) == (ONE, "path-lossy")
    assert finding.data == {"peer": TWO, "addresses": [FIRST_HALF], "ports": ["6379", "10002"]}


def down(answers: Answers) -> Answers:
    """With the second node's first half down."""
    answers.facts[TWO]["ib"]["rocep1s0f0"]["ports"]["1"]["state"] = "DOWN"
    return answers


def test_a_blocked_port_is_found_though_a_half_is_down() -> None:
    answers = down(healthy())
    addresses = {c["address"] for c in _connects(answers.snapshot(), TWO, ONE)}
    assert addresses == {SECOND_HALF}
    tried(answers)
    failing(answers, SILENT, SECOND_HALF)
    blocked = found(answers, "FAIL")
    assert {(f.node, f.code, f.data["address"]) for f in blocked} == {
        (ONE, "port-blocked", SECOND_HALF)
    }
    assert {f.data["port"] for f in blocked} == {6379, 10002}


def test_a_port_that_another_half_shows_blocked_is_open_where_it_counts() -> None:
    assert found(failing(healthy(), SILENT, SECOND_HALF)) == []


def test_the_socket_interface_counts_first() -> None:
    addresses = [c["address"] for c in _connects(healthy().snapshot(), TWO, ONE)]
    assert list(dict.fromkeys(addresses)) == [FIRST_HALF, SECOND_HALF]


def test_the_ports_are_the_inventorys_and_the_api_is_not_among_them() -> None:
    ray = "ray: {port: 7000, min_worker_port: 21000, max_worker_port: 21999}\n"
    answers = healthy(INVENTORY + ray)
    assert open_ports(answers.snapshot(), ONE) == {7000: "ray.port", 21000: "Ray's workers"}
    assert open_ports(answers.snapshot(), TWO) == {21000: "Ray's workers"}
    blocked = failing(tried(answers), SILENT)
    worker = next(f for f in found(blocked) if f.data["port"] == 21000)
    assert worker.fix is not None
    assert "21000 to 21999" in worker.fix.text


def test_the_worker_port_is_one_that_workers_have_or_can_get() -> None:
    answers = healthy()
    ports = answers.facts[TWO]["ports"] = [listener(10002), listener(10003)]
    assert [*open_ports(answers.snapshot(), TWO)] == [10004], "a stranger may not let others in"
    ports.append(listener(10007, cluster="lab"))
    assert [*open_ports(answers.snapshot(), TWO)] == [10007]
    del answers.facts[TWO]["ports"]
    assert [*open_ports(answers.snapshot(), TWO)] == [10002]


def test_a_worker_that_has_ended_meanwhile_is_no_firewall() -> None:
    answers = healthy()
    answers.facts[TWO]["ports"] = [listener(10007, pid=9, command="ray::IDLE", cluster="lab")]
    assert found(tried(answers)) == []


def firewalls(active: list[str], installed: list[str] | None = None) -> tuple[str, tuple[str, ...]]:
    """The remedy for a port that a node with these firewalls blocks: its words and commands."""
    answers = failing(healthy(), SILENT)
    known = {"active": active, "installed": active if installed is None else installed}
    peer(answers, ONE)["firewalls"] = known
    fix = found(answers)[0].fix
    assert fix is not None
    return fix.text, fix.commands


@pytest.mark.parametrize(
    ("name", "commands"),
    [
        ("ufw", ("sudo ufw allow from 192.168.100.0/24",)),
        (
            "firewalld",
            (
                "sudo firewall-cmd --permanent --zone=trusted --add-source=192.168.100.0/24",
                "sudo firewall-cmd --reload",
            ),
        ),
        ("nftables", ("sudo nft list ruleset",)),
        ("iptables", ("sudo iptables -I INPUT -s 192.168.100.0/24 -j ACCEPT",)),
    ],
)
def test_the_remedy_is_that_of_the_firewall_there(name: str, commands: tuple[str, ...]) -> None:
    every = ["ufw", "firewalld", "nftables", "iptables"]
    assert firewalls([name], every)[1] == commands
    assert firewalls([], [name])[1] == commands
    text, _ = firewalls([name])
    assert "192.168.100.0/24" in text


@pytest.mark.parametrize(
    ("active", "installed"),
    [(["nftables", "ufw"], []), ([], ["iptables", "nftables"]), ([], []), (["pf"], [])],
)
def test_without_certainty_every_form_is_named_and_no_command(
    active: list[str], installed: list[str]
) -> None:
    text, commands = firewalls(active, installed)
    assert commands == ()
    for form in ("`ufw allow", "firewalld: ", "nftables: ", "`iptables -I INPUT"):
        assert form in text


def test_a_node_that_did_not_say_which_firewall_it_has() -> None:
    answers = failing(healthy(), SILENT)
    del peer(answers, ONE)["firewalls"]
    fix = found(answers)[0].fix
    assert fix is not None
    assert fix.commands == ()


def test_a_refusal_where_our_ray_listens_is_a_firewall_that_rejects() -> None:
    answers = healthy()
    refused = answers.looks["peers"][TWO]["connects"][0]
    assert (refused["port"], refused["error"]) == (6379, "refused")
    gcs = listener(6379, pid=7, command="gcs_server", cluster="lab")
    answers.facts[ONE]["ports"].append(gcs)
    (finding,) = [f for f in examined(answers, "host.firewall") if f.severity.value == "FAIL"]
    assert (finding.node, finding.code) == (ONE, "port-blocked")
    assert (finding.data["address"], finding.data["port"]) == ("192.168.100.11", 6379)
    gcs["cluster"] = ""  # a stranger's may listen on the loopback alone
    assert {f.severity.value for f in examined(answers, "host.firewall")} == {"OK"}


def test_a_port_that_was_not_tried_is_unknown() -> None:
    answers = healthy()
    del answers.looks["peers"][TWO]["connects"][0]
    assert wrong(answers) == {("host.firewall", ONE, "UNKNOWN")}
    answers.looks["peers"][TWO]["connects"] = []
    (finding,) = [f for f in examined(answers, "host.firewall") if f.node == ONE]
    assert (finding.severity.value, finding.code) == ("UNKNOWN", "ports-not-tried")


def test_a_blocked_port_is_a_fault_of_the_node_that_drops() -> None:
    answers = healthy()
    connect = answers.looks["peers"][ONE]["connects"][0]
    connect |= {"error": "no answer within 2 s", "refused": False}
    assert wrong(answers) == {("host.firewall", TWO, "FAIL")}
