"""What cannot be told is UNKNOWN with the reason, and hides nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from sparkctl.doctor.table import CHECKS
from sparkctl.errors import AuthError, RemoteTimeout
from sparkctl.fabric.version import NEWEST
from sparkctl.facts.node import GROUPS
from sparkctl.facts.unread import Missing
from sparkctl.inventory.layers import Layer
from tests.unit.doctorview import INVENTORY, Answers, examined, healthy, wrong

ONE, TWO, THREE = "spark-1", "spark-2", "spark-3"
CLUSTER = {c.id for c in CHECKS if c.scope == "cluster"}


def two(answers: Answers) -> Any:
    """The second node's facts, to be changed."""
    return answers.facts[TWO]


def without(answers: Answers, name: str) -> Answers:
    """The answers without what was read of a node."""
    answers.facts = {n: f for n, f in answers.facts.items() if n != name}
    answers.looks = {s: {n: f for n, f in v.items() if n != name} for s, v in answers.looks.items()}
    return answers


def found_by(
    answers: Answers, check: str, severity: str = "UNKNOWN"
) -> list[tuple[str | None, str]]:
    """(node, code) of a check's findings of one severity."""
    return [(f.node, f.code) for f in examined(answers, check) if f.severity.value == severity]


def test_a_node_that_is_not_reached_is_one_finding_and_the_rest_unknown() -> None:
    answers = without(healthy(), TWO)
    answers.errors = {TWO: AuthError("refused every key", hint="ssh-copy-id", node=TWO)}
    found = wrong(answers)
    assert ("reach.ssh", TWO, "FAIL") in found
    assert {s for c, n, s in found if c != "reach.ssh"} == {"UNKNOWN"}
    assert not [f for f in examined(answers) if f.node == TWO and f.severity.value == "OK"]
    unknown = {f.check for f in examined(answers) if (f.node, f.severity.value) == (TWO, "UNKNOWN")}
    assert unknown == {c.id for c in CHECKS} - {"reach.ssh"}


@pytest.mark.parametrize("lost", [ONE, TWO])
def test_a_cluster_check_tells_of_every_node_that_it_did_not_see(lost: str) -> None:
    answers = without(healthy(), lost)
    answers.errors = {lost: AuthError("refused every key")}
    found = [f for f in examined(answers) if f.check in CLUSTER]
    unknown = [f.check for f in found if (f.node, f.severity.value) == (lost, "UNKNOWN")]
    assert sorted(unknown) == sorted(CLUSTER)
    assert [f for f in found if f.node is None and f.severity.value == "UNKNOWN"] == []


def test_facts_that_time_out_do_not_make_a_node_unreachable() -> None:
    answers = without(healthy(), TWO)
    answers.unreadable = {TWO: RemoteTimeout("reading the facts did not end within 60 s", node=TWO)}
    assert [node for node, _ in found_by(answers, "reach.ssh", "OK")] == answers.names
    assert [node for node, _ in found_by(answers, "reach.facts", "FAIL")] == [TWO]
    assert [node for node, _ in found_by(answers, "host.gpu")] == [TWO]


def three() -> Answers:
    """A third node, which lacks nothing and has addresses of its own."""
    text = INVENTORY.replace(
        "role: worker}", "role: worker}\n  - {name: spark-3, host: 10.77.0.13, role: worker}"
    )
    answers = healthy(text)
    third = healthy().facts[TWO]
    for net in third["net"].values():
        net["ipv4"] = [a.replace(".12/", ".13/") for a in net["ipv4"]]
    answers.facts[THREE] = third
    answers.asked = dict.fromkeys(answers.facts, (0, 9e9))
    return answers


@pytest.mark.parametrize(
    ("check", "group"),
    [("runtime.versions", "runtime"), ("model.same", "model")],
)
def test_what_one_node_lacks_hides_no_other_in_a_cluster_check(check: str, group: str) -> None:
    answers = three()
    del two(answers)[group]
    two(answers)["unread"][group] = "PermissionError: no"
    found = {f.node: f.severity.value for f in examined(answers, check)}
    assert found == {TWO: "UNKNOWN", THREE: "OK"}


@pytest.mark.parametrize("group", sorted(set(GROUPS) - {"people", "model_config"}))
def test_what_could_not_be_read_is_unknown_with_the_reason(group: str) -> None:
    answers = healthy()
    del two(answers)[group]
    two(answers)["unread"][group] = "PermissionError: no"
    found = [f for f in examined(answers) if f.severity.value not in ("OK", "INFO")]
    assert {f.severity.value for f in found} == {"UNKNOWN"}
    assert any("PermissionError" in f.summary for f in found)  # the reason is shown
    assert [node for node, _ in found_by(answers, "reach.facts")] == [TWO]


def drop_after(answers: Answers) -> None:
    answers.looks["peers"][TWO]["counters"] = {}


def no_versions(answers: Answers) -> None:
    for name in answers.names:
        answers.facts[name]["runtime"]["versions"] = {}


def no_metadata_of_ray(answers: Answers) -> None:
    for name in answers.names:
        del answers.facts[name]["runtime"]["versions"]["ray"]


def no_venv_on_the_head(answers: Answers) -> None:
    answers.facts[ONE]["runtime"]["exists"] = False


def nothing_computes(answers: Answers) -> None:
    two(answers)["gpu"]["gpu_processes"] = None


def no_ping(answers: Answers) -> None:
    for ping in answers.looks["peers"][TWO]["pings"]:
        ping.update(error="ping: No such file", problem="ping: No such file")


def no_pcie(answers: Answers) -> None:
    two(answers)["net"]["enp1s0f0np0"]["pcie_width"] = None


def no_digests(answers: Answers) -> None:
    for name in answers.names:
        answers.facts[name]["model"]["digest"] = None


def hung_mount(answers: Answers) -> None:
    two(answers)["disk"]["model"].update(free=None, total=None)


def no_driver(answers: Answers) -> None:
    two(answers)["gpu"]["gpus"][0]["driver"] = "[N/A]"


@pytest.mark.parametrize(
    ("change", "check", "node"),
    [
        (drop_after, "fabric.loss", TWO),
        (no_versions, "runtime.versions", None),
        (no_metadata_of_ray, "runtime.versions", TWO),
        (no_venv_on_the_head, "runtime.versions", None),
        (nothing_computes, "host.gpu", TWO),
        (no_ping, "fabric.ping", TWO),
        (no_pcie, "fabric.pcie", TWO),
        (no_digests, "model.same", None),
        (hung_mount, "host.disk", TWO),
        (no_driver, "host.driver", TWO),
    ],
)
def test_what_could_not_be_seen_is_never_well(change: Any, check: str, node: str | None) -> None:
    answers = healthy()
    change(answers)
    found = {f.severity.value for f in examined(answers, check) if f.node == node}
    assert "UNKNOWN" in found
    assert not found & {"FAIL", "WARN", "CRASH", "INFO"}
    if check not in ("fabric.loss", "fabric.pcie"):  # those tell of each half
        assert "OK" not in found


def test_a_fabric_without_rdma_has_no_halves_to_be_content_with() -> None:
    answers = healthy(
        INVENTORY.replace("role: worker", "role: worker, fabric: {interfaces: [enP7s7]}")
    )
    assert found_by(answers, "fabric.halves") == [(TWO, "unread")]
    assert [f.node for f in examined(answers, "fabric.mtu") if f.severity.value == "OK"] == [
        ONE,
        ONE,
    ]


def generated(**grown: int) -> Answers:
    """A pair whose counters were read around a generation, on the second node with this growth."""
    answers = healthy()
    before = {name: answers.facts[name]["counters"] for name in answers.names}
    after = {name: {d: dict(c) for d, c in found.items()} for name, found in before.items()}
    for counter, events in grown.items():
        after[TWO]["rocep1s0f0"][counter] += events
    completion = {"models": ["m"], "tokens": 4, "seconds": 1.0}
    answers.looks["generation"] = {ONE: {**completion, "before": before, "after": after}}
    return answers


def test_loss_under_rdma_traffic_is_found_though_pings_lose_nothing() -> None:
    answers = generated(packet_seq_err=10**6)
    (finding,) = [f for f in examined(answers) if f.severity.value == "WARN"]
    assert (finding.check, finding.node, finding.code) == ("fabric.loss", TWO, "packets-lost")
    assert finding.data == {"hca": "rocep1s0f0", "counters": ["packet_seq_err"]}
    assert wrong(generated(port_xmit_data=10**6)) == set()


def test_counters_that_could_not_be_read_around_a_generation_are_unknown() -> None:
    answers = generated()
    del answers.looks["generation"][ONE]["after"][TWO]
    assert {n for n, _ in found_by(answers, "fabric.loss")} == {TWO}


def named(name: str) -> Answers:
    """`doctor NODE`: one node is asked about, facts are there of all."""
    answers = healthy()
    answers.nodes = tuple(n for n in answers.nodes if n.name == name)
    return answers


@pytest.mark.parametrize("name", [ONE, TWO])
def test_a_named_node_is_checked_with_its_peers(name: str) -> None:
    answers = named(name)
    assert wrong(answers) == set()
    checks = {f.check for f in examined(answers)}
    assert checks >= {"fabric.pairing", "fabric.ping", "host.firewall", "fabric.loss"}
    others = [f for f in examined(answers) if f.scope == "node" and f.node != name]
    assert others == []


def test_all_nodes_are_held_against_a_head_that_is_named() -> None:
    answers = named(ONE)
    two(answers)["runtime"]["versions"]["ray"] = "2.59.0"
    assert wrong(answers) == {("runtime.versions", TWO, "FAIL")}


def test_what_hangs_is_told_and_what_it_holds_is_unknown() -> None:
    answers = healthy()
    del two(answers)["settings"]
    late = {"reason": "no answer within 6 s", "kind": "timeout"}
    two(answers)["unread"]["settings"] = late
    found = wrong(answers)
    assert {w for w in found if w[2] != "UNKNOWN"} == {("reach.facts", TWO, "WARN")}
    assert ("settings.profiles", TWO, "UNKNOWN") in found


def test_pairs_are_those_of_the_named_nodes() -> None:
    answers = three()
    answers.nodes = tuple(n for n in answers.nodes if n.name == TWO)
    found = [f for f in examined(answers, "fabric.pairing") if f.severity.value == "OK"]
    assert [f.about for f in found] == [(ONE, TWO), (TWO, THREE)]


@pytest.mark.parametrize(("peer", "severity"), [(1500, "WARN"), (9000, "FAIL")])
def test_the_mtu_of_a_named_node_is_held_against_its_peers(peer: int, severity: str) -> None:
    answers = named(TWO)
    two(answers)["net"]["enp1s0f0np0"]["mtu"] = 1500
    answers.facts[ONE]["net"]["enp1s0f0np0"]["mtu"] = peer
    assert ("fabric.mtu", TWO, severity) in wrong(answers)


OTHER_CAGE = INVENTORY.replace("role: worker", "role: worker, fabric: {cage: 7}")
CONF = {"path": "/etc/nccl.conf", "values": {"NCCL_NET": "Socket"}}
PROFILE = {"path": "/root/.bashrc", "line": 1, "name": "NCCL_IB_DISABLE", "value": "1"}


def cageless() -> Answers:
    """The second node's fabric is not known."""
    answers = healthy(OTHER_CAGE)
    assert answers.snapshot().choice_error(TWO) is not None
    return answers


def test_a_fabric_that_is_not_known_hides_no_setting_that_was_read() -> None:
    answers = cageless()
    two(answers)["settings"]["conf"] = [CONF]
    two(answers)["settings"]["profiles"] = [PROFILE]
    found = {w for w in wrong(answers) if w[0].startswith("settings") and w[2] != "UNKNOWN"}
    assert found == {
        ("settings.nccl-conf", TWO, "WARN"),
        ("settings.forced", TWO, "FAIL"),
        ("settings.profiles", TWO, "WARN"),
    }
    assert [f.severity.value for f in examined(answers, "settings.memory-monitor")] == ["OK", "OK"]


@pytest.mark.parametrize("variable", ["NCCL_IB_HCA", "NCCL_SOCKET_IFNAME", "VLLM_HOST_IP"])
def test_what_follows_from_an_unknown_fabric_is_unknown_not_absent(variable: str) -> None:
    answers = cageless()
    two(answers)["settings"]["session"][variable] = "of the login"
    why = f"the fabric of {TWO} is not known, see fabric.choice"
    snapshot = answers.snapshot()
    for found in (snapshot.planned(TWO), snapshot.environment(TWO), snapshot.effective(TWO)):
        with pytest.raises(Missing, match=why):
            found.get(variable)
        with pytest.raises(Missing, match=why):
            dict(found)
    two(answers)["settings"]["conf"] = [{"path": "/etc/nccl.conf", "values": {variable: "x"}}]
    found_there = found_by(answers, "settings.nccl-conf")
    assert found_there == [], "whatever `up` sets wins over the file"
    line = {"path": "/etc/environment", "line": 3, "name": variable, "value": "x"}
    two(answers)["settings"]["profiles"] = [line, PROFILE]
    (unclear,) = [f for f in examined(answers, "settings.profiles") if f.code == "unread"]
    assert (unclear.node, unclear.data["variable"], unclear.data["line"]) == (TWO, variable, 3)
    assert ("settings.profiles", TWO, "WARN") in wrong(answers), "the next line is looked at too"


def test_what_a_layer_sets_without_the_fabric_is_known_without_it() -> None:
    answers = cageless()
    answers.layers = [Layer("mine", {"NCCL_IB_HCA": "rocep1s0f0", "A": "${NODE}", "B": "x${HCAS}"})]
    found = answers.snapshot().environment(TWO)
    assert (found["NCCL_IB_HCA"], found["A"]) == ("rocep1s0f0", TWO)
    assert answers.snapshot().origin(TWO, "NCCL_IB_HCA") == "layer mine"
    with pytest.raises(Missing):
        found.get("B")


def test_the_version_of_nccl_is_the_newest_where_the_runtime_could_not_be_read() -> None:
    answers = healthy()
    two(answers)["runtime"]["versions"]["nvidia_nccl_cu13"] = "2.28.9"
    assert answers.snapshot().nccl_version(TWO) == (2, 28, 9)
    del two(answers)["runtime"]
    assert answers.snapshot().nccl_version(TWO) == NEWEST
    with pytest.raises(Missing):
        without(healthy(), TWO).snapshot().nccl_version(TWO)
