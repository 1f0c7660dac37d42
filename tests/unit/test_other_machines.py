"""All checks, and the fabric's logic, on machines unlike the lab's (other-machines.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.fix import plan
from sparkctl.fabric.diagram import draw
from sparkctl.fabric.topology import halves, main_port
from sparkctl.facts.unread import known
from sparkctl.node.portcounters import LOSS
from sparkctl.output.fabric import print_diagram
from tests.unit.answers import node_facts
from tests.unit.doctorview import Answers, examined, healthy
from tests.unit.peeranswers import tried
from tests.unit.runningpair import running

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding

FIXTURE = Path(__file__).parents[1] / "fixtures/facts/other-machines.json"
CLUSTERS = sorted(json.loads(FIXTURE.read_text())["clusters"])
ONE, TWO = "spark-1", "spark-2"


def machines(cluster: str) -> Answers:
    """A pair of such machines, which all reach each other."""
    document = json.loads(FIXTURE.read_text())["clusters"][cluster]
    answers = healthy()
    for name, groups in document["nodes"].items():
        answers.facts[name].update(groups)
    return tried(answers)


def of(cluster: str | Answers, check: str) -> list[Finding]:
    answers = machines(cluster) if isinstance(cluster, str) else cluster
    return examined(answers, check)


# What is wrong on each node of a cluster, or cannot be known.
SLOW = ("fabric.speed", "WARN", "slow-link")
EXPECTED: dict[str, set[tuple[str, str, str]]] = {
    "soft-roce": set(),
    "soft-roce-alike": set(),
    "soft-roce-other-cage": set(),
    "soft-roce-unnamed": set(),
    "one-rail": {SLOW},
    "virtual-functions": {SLOW},
    "macvlan": {
        ("fabric.mtu", "WARN", "mtu-unexpected"),
        ("fabric.pcie", "UNKNOWN", "unread"),  # the port's own interface is outside the pod
        ("fabric.persistent", "WARN", "lost-on-reboot"),
    },
    "vlans": set(),
    "roce-v1": {
        SLOW,
        ("fabric.gid", "FAIL", "no-usable-gid"),
        ("fabric.loss", "UNKNOWN", "unread"),  # mlx4 has no counter of loss
    },
    "broadcom": {SLOW},
}


@pytest.mark.parametrize("cluster", EXPECTED)
def test_no_more_is_wrong_than_the_answers_show(cluster: str) -> None:
    findings = [f for f in examined(machines(cluster)) if f.severity.value not in ("OK", "INFO")]
    for name in (ONE, TWO):
        found = {(f.check, f.severity.value, f.code) for f in findings if f.node == name}
        assert found == EXPECTED[cluster]


def test_a_pair_that_is_cabled_crosswise_has_nothing_wrong_but_that() -> None:
    findings = examined(machines("soft-roce-crosswise"))
    wrong = {f.check for f in findings if f.severity.value not in ("OK", "INFO")}
    assert wrong == {"fabric.pairing"}


@pytest.mark.parametrize("cluster", ["soft-roce-alike", "soft-roce-crosswise", "soft-roce-unnamed"])
def test_fix_leaves_ports_without_a_cable_alone(cluster: str) -> None:
    assert plan(examined(machines(cluster))) == []
    idle = {"enp1s0f1np1", "enP2p1s0f1np1", "eth3", "eth4"}
    snapshot = machines(cluster).snapshot()
    assert {half.interface for half in snapshot.halves(ONE)} & idle
    assert not {half.interface for half in snapshot.cage(ONE)} & idle


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_no_check_crashes_and_the_diagram_is_drawn(
    cluster: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = machines(cluster)
    assert not [f for f in examined(answers) if f.severity.value == "CRASH"]
    snapshot = answers.snapshot()
    diagram = draw({name: snapshot.facts(name) for name in snapshot.names}, {})
    print_diagram(diagram, {}, [])
    printed = capsys.readouterr().out
    assert all(hca in printed for name in snapshot.names for hca in known(snapshot.facts(name).ib))


@pytest.mark.parametrize(
    "check",
    ["fabric.choice", "fabric.pairing", "fabric.ping", "fabric.gid", "fabric.loss", "fabric.hca"],
)
@pytest.mark.parametrize("cluster", ["soft-roce", "one-rail", "virtual-functions", "vlans"])
def test_pairs_of_other_devices_are_matched(cluster: str, check: str) -> None:
    assert {f.severity.value for f in of(cluster, check)} == {"OK"}


@pytest.mark.parametrize(
    ("cluster", "interfaces", "hcas", "index"),
    [
        ("soft-roce", ("ens4.100", "ens4.101"), ("rxe0", "rxe1"), 1),
        (
            "soft-roce-other-cage",
            ("enp1s0f1np1", "enP2p1s0f1np1"),
            ("rocep1s0f1", "roceP2p1s0f1"),
            1,
        ),
        ("soft-roce-unnamed", ("eth3", "eth4"), ("rxe2", "rxe3"), 1),
        ("virtual-functions", ("ens8f0v5", "ens8f1v7"), ("mlx5_11", "mlx5_13"), 3),
        ("macvlan", ("net1", "net2"), ("mlx5_0", "mlx5_1"), 7),
        ("vlans", ("ens3np0.100", "ens2np0.101"), ("mlx5_0", "mlx5_1"), 5),
        ("broadcom", ("enp194s0f0np0",), ("bnxt_re0",), 5),
    ],
)
def test_the_fabric_is_derived(
    cluster: str, interfaces: tuple[str, ...], hcas: tuple[str, ...], index: int
) -> None:
    snapshot = machines(cluster).snapshot()
    choice = snapshot.choice(TWO)
    assert (choice.interfaces, choice.hcas) == (interfaces, hcas)
    drawn = draw({TWO: snapshot.facts(TWO)}, {}).nodes[0].ports
    assert {port.gid_index for port in drawn if port.half.hca in hcas} == {index}


def test_without_an_ipv4_address_no_port_can_be_used() -> None:
    found = of("ipv6-only", "fabric.choice")
    assert [(f.severity.value, f.code) for f in found] == [("FAIL", "no-usable-port")] * 2


def test_soft_roce_over_the_management_interface_is_not_a_half_of_a_cable() -> None:
    answers = healthy()
    rxe = machines("one-rail").facts[ONE]["ib"]["rxe_eno1"]
    rxe["netdevs"] = ["enP7s7"]
    answers.facts[ONE]["ib"]["rxe0"] = rxe
    snapshot = answers.snapshot()
    assert snapshot.choice(ONE).hcas == ("rocep1s0f0", "roceP2p1s0f0")
    assert {half.hca: half.cage for half in snapshot.halves(ONE)}["rxe0"] == 2
    assert {half.hca for half in snapshot.cage(ONE)} == {"rocep1s0f0", "roceP2p1s0f0"}


@pytest.mark.parametrize(
    ("width", "code"), [("4", "half-missing"), (None, "half-missing"), ("16", "other-device")]
)
def test_a_nic_with_more_lanes_than_a_sparks_has_no_second_half(
    width: str | None, code: str
) -> None:
    answers = healthy()
    del answers.facts[TWO]["ib"]["roceP2p1s0f0"]
    answers.facts[TWO]["net"]["enp1s0f0np0"]["pcie_width"] = width
    (finding,) = [f for f in of(answers, "fabric.halves") if f.node == TWO]
    assert finding.code == code


def test_a_scalable_function_has_no_pci_address() -> None:
    facts = machines("broadcom").facts[ONE]
    facts["ib"]["bnxt_re0"]["pci"] = facts["net"]["enp194s0f0np0"]["pci"] = "mlx5_core.sf.4"
    facts["net"]["enp194s0f0np0"]["phys_port_name"] = None
    found = {half.hca: half for half in halves(node_facts(facts))}
    assert (found["bnxt_re0"].pci, found["bnxt_re0"].physical) == (None, False)
    assert found["bnxt_re0"].cage == found["bnxt_re1"].cage + 1


def test_the_first_active_port_of_two_counts() -> None:
    facts = machines("roce-v1").facts[ONE]
    assert main_port(known(node_facts(facts).ib)["mlx4_0"])[0] == "1"
    facts["ib"]["mlx4_0"]["ports"]["1"]["state"] = "DOWN"
    assert main_port(known(node_facts(facts).ib)["mlx4_0"])[0] == "2"
    facts["ib"]["mlx4_0"]["ports"]["2"]["state"] = "DOWN"
    assert main_port(known(node_facts(facts).ib)["mlx4_0"])[0] == "1"


def test_of_two_ports_the_active_one_has_the_interface() -> None:
    facts = machines("roce-v1").facts[ONE]
    assert halves(node_facts(facts))[0].interface == "eth2"
    facts["ib"]["mlx4_0"]["ports"]["1"]["state"] = "DOWN"
    (half,) = halves(node_facts(facts))
    assert (half.interface, half.ipv4, half.active) == ("eth3", ("12.12.10.12/24",), True)


@pytest.mark.parametrize(
    ("cluster", "hca", "counter"),
    [
        ("soft-roce", "rxe1", "rcvd_seq_err"),
        ("broadcom", "bnxt_re0", "to_retransmits"),
        ("virtual-functions", "mlx5_13", "packet_seq_err"),
    ],
)
def test_loss_is_found_in_other_counters(cluster: str, hca: str, counter: str) -> None:
    answers = machines(cluster)
    counters: dict[str, Any] = json.loads(json.dumps(answers.looks["peers"][TWO]["counters"]))
    counters[hca][counter] += 7
    answers.looks["peers"][TWO]["counters"] = counters
    (found,) = [f for f in of(answers, "fabric.loss") if f.severity.value == "WARN"]
    assert (found.node, found.code) == (TWO, "packets-lost")
    assert found.data == {"hca": hca, "counters": [counter]}


def moved(before: dict[str, int], after: dict[str, int]) -> Finding:
    """What running.traffic finds of a device with these counters around a generation."""
    answers = running()
    generation = answers.looks["generation"][ONE]
    generation["before"][TWO]["roceP2p1s0f0"] = before
    generation["after"][TWO]["roceP2p1s0f0"] = after
    found = [f for f in of(answers, "running.traffic") if f.node == TWO]
    assert found[0].severity.value == "OK"
    return found[1]


@pytest.mark.parametrize(("grown", "severity"), [(5000, "OK"), (2, "FAIL")])
@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ("port_xmit_data", "port_rcv_data"),
        ("tx_bytes", "rx_bytes"),  # bnxt_re and mana
        ("tx_bytes_cnt", "rx_bytes_cnt"),  # erdma
        ("ip4OutOctets", "ip4InOctets"),  # irdma
        ("sent_pkts", "rcvd_pkts"),  # rxe
        ("tx_pkt", "rx_pkt"),  # hns
    ],
)
def test_traffic_is_counted_by_each_drivers_names(
    sent: str, received: str, grown: int, severity: str
) -> None:
    # The netdev's bytes may be TCP's: they decide nothing where the device has counters.
    before = {sent: 100, received: 90, "netdev_tx_bytes": 0}
    after = {sent: 100 + grown, received: 90, "netdev_tx_bytes": 10**9}
    assert moved(before, after).severity.value == severity


def test_traffic_in_any_of_a_devices_counters_counts() -> None:
    before = {"port_xmit_data": 0, "tx_bytes": 0}
    assert moved(before, {"port_xmit_data": 0, "tx_bytes": 10**6}).severity.value == "OK"
    assert moved(before, before).severity.value == "FAIL"


@pytest.mark.parametrize(
    ("grown", "severity", "code"), [(10**6, "INFO", "netdev-traffic"), (60, "FAIL", "no-traffic")]
)
def test_the_netdevs_bytes_prove_only_that_nothing_was_sent(
    grown: int, severity: str, code: str
) -> None:
    found = moved({"netdev_tx_bytes": 7}, {"netdev_tx_bytes": 7 + grown})
    assert (found.severity.value, found.code, found.data["got"]) == (severity, code, grown)


def test_without_any_counter_traffic_is_unknown() -> None:
    assert moved({}, {}).severity.value == "UNKNOWN"
    assert moved({"tx_bytes": 1}, {}).severity.value == "UNKNOWN"


@pytest.mark.parametrize("provider", LOSS)
def test_each_drivers_counters_of_loss_name_it_and_are_compared(provider: str) -> None:
    answers, hca = machines("soft-roce"), "rxe1"
    before = dict.fromkeys(LOSS[provider], 3)
    answers.facts[TWO]["counters"][hca] = before
    answers.looks["peers"][TWO]["counters"] = {**answers.facts[TWO]["counters"], hca: before}
    assert {f.severity.value for f in of(answers, "fabric.loss")} == {"OK"}
    missing = [f for f in of(answers, "fabric.libraries") if f.severity.value == "FAIL"]
    assert [f.data["provider"] for f in missing] == ([provider] if provider != "rxe" else [])
    answers.looks["peers"][TWO]["counters"][hca] = {**before, LOSS[provider][-1]: 4}
    (found,) = [f for f in of(answers, "fabric.loss") if f.severity.value == "WARN"]
    assert found.data == {"hca": hca, "counters": [LOSS[provider][-1]]}


@pytest.mark.parametrize(
    ("cluster", "provider"),
    [("soft-roce", "rxe"), ("broadcom", "bnxt_re"), ("macvlan", "mlx5"), ("roce-v1", "mlx4")],
)
def test_the_provider_of_the_device_is_required(cluster: str, provider: str) -> None:
    answers = machines(cluster)
    answers.facts[TWO]["verbs"]["providers"].remove(provider)
    (found,) = [f for f in of(answers, "fabric.libraries") if f.severity.value == "FAIL"]
    assert (found.node, found.code, found.data["provider"]) == (TWO, "provider-missing", provider)


def test_without_counters_no_provider_is_guessed() -> None:
    answers = healthy()
    answers.facts[TWO]["verbs"]["providers"] = ["bnxt_re-rdmav34.so"]
    del answers.facts[TWO]["counters"]
    (finding,) = [f for f in examined(answers, "fabric.libraries") if f.node == TWO]
    assert (finding.severity.value, finding.code) == ("UNKNOWN", "provider-unknown")


def test_a_device_that_no_driver_is_known_of_has_an_unknown_provider() -> None:
    answers = machines("one-rail")
    answers.facts[TWO]["counters"] = {}
    (found,) = [f for f in of(answers, "fabric.libraries") if f.node == TWO]
    assert (found.severity.value, found.code) == ("UNKNOWN", "provider-unknown")
