"""Two services: each pair is examined as a cluster of its own, over a cable of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.check import Source
from sparkctl.doctor.collect import collect
from sparkctl.doctor.finding import Severity
from sparkctl.doctor.preflight import preflight
from sparkctl.doctor.remedy import LOG, RESTART, Remedy
from sparkctl.doctor.runner import choose_checks, evaluate, undecided
from sparkctl.doctor.table import CHECKS
from sparkctl.engines.inventory import parse
from sparkctl.facts.calls import COMPLETION, PEERS
from sparkctl.plan.paths import APPLIED
from tests.unit import answers as make
from tests.unit.answers import all_facts
from tests.unit.doctorview import Answers, examined, healthy, wrong
from tests.unit.runningpair import running
from tests.unit.test_doctor_collect import Asked

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding

INVENTORY = """\
cluster: lab
nodes:
  - {name: spark-1, host: 10.77.0.11}
  - {name: spark-2, host: 10.77.0.12}
  - {name: spark-3, host: 10.77.0.13}
  - {name: spark-4, host: 10.77.0.14}
  - {name: spark-5, host: 10.77.0.15}
runtime: {venv: /opt/vllm}
services:
  chat:
    nodes: [spark-1, spark-2]
    model: /models/m2
    arguments: {gpu-memory-utilization: 0.2}
  code:
    nodes: [spark-3, spark-4]
    model: /models/m2
    port: 31000
    arguments: {gpu-memory-utilization: 0.2}
"""
ONE, TWO, THREE, FOUR, SPARE = (f"spark-{n}" for n in range(1, 6))
PAIRS: tuple[dict[str, str], ...] = ({}, {ONE: THREE, TWO: FOUR})


def renamed(value: Any, names: dict[str, str]) -> Any:
    """Answers, in which these nodes have other names."""
    if isinstance(value, dict):
        return {names.get(k, k): renamed(v, names) for k, v in value.items()}
    if isinstance(value, list):
        return [renamed(v, names) for v in value]
    return names.get(value, value) if isinstance(value, str) else value


def rack(inventory: str = INVENTORY, *, spare: bool = False) -> Answers:
    """Two pairs that serve, each as the captured pair: with the same addresses, as no cable joins
    them.
    """
    loaded = parse(inventory.encode(), "inventory.yaml")
    merged = Answers(loaded, tuple(loaded.nodes), {})
    for names in PAIRS:
        pair = running()
        hosts = {names.get(n, n): {"hostname": f["hostname"]} for n, f in pair.facts.items()}
        own = renamed(pair.facts, names)
        merged.facts |= {name: {**facts, **hosts[name]} for name, facts in own.items()}
        merged.login = {**merged.login, **renamed(pair.login, names)}
        merged.asked = {**merged.asked, **renamed(pair.asked, names)}
        for source, looks in pair.looks.items():
            merged.looks.setdefault(source, {}).update(renamed(looks, names))
    if spare:
        merged.facts[SPARE] = healthy().facts[TWO]
        merged.login = {**merged.login, SPARE: 0.1}
        merged.asked = {**merged.asked, SPARE: merged.asked[TWO]}
    else:
        merged.nodes = merged.nodes[:-1]
    return merged


def of(findings: list[Finding], check: str) -> dict[str, tuple[str, str | None]]:
    """A check's findings, by service: the severity, and the node."""
    own = [f for f in findings if f.check == check]
    return {str(f.data["service"]): (f.severity.value, f.node) for f in own}


def test_two_pairs_that_serve_are_well() -> None:
    assert wrong(rack()) == set()


def test_what_notes_the_cluster_is_no_leftover_while_another_node_cannot_be_read() -> None:
    answers = rack(spare=True)
    note = {"schema": 2, "id": "1", "by": {}, "nodes": {}, "units": {}}
    answers.facts[SPARE]["state"] |= {"exists": True, "files": {APPLIED: json.dumps(note)}}

    def found() -> list[str]:
        own = [f for f in examined(answers, "host.leftovers") if f.node == SPARE]
        return [f.severity.value for f in own]

    assert found() == ["WARN"], "the others are of another cluster"
    del answers.facts[FOUR]
    assert found() == ["OK"]


def test_cluster_and_pair_checks_run_once_for_each_service_and_name_it() -> None:
    findings = examined(rack())
    assert of(findings, "running.generation") == {"chat": ("OK", ONE), "code": ("OK", THREE)}
    assert of(findings, "fabric.pairing") == {"chat": ("OK", TWO), "code": ("OK", FOUR)}
    api = {str(f.data["service"]): f for f in findings if f.check == "running.api"}
    assert (api["code"].node, api["code"].summary[:14]) == (None, "service code: ")
    assert {f.data["service"] for f in findings if f.node == FOUR} == {"code"}
    ids = [f.check for f in findings]
    order = [c.id for c in CHECKS]
    assert ids == sorted(ids, key=order.index), "in declared order"


def test_a_single_service_is_not_named() -> None:
    findings = examined(running())
    assert not [f for f in findings if "service" in f.data or f.summary.startswith("service ")]


def test_a_fault_of_one_service_withholds_no_remedy_of_another() -> None:
    answers = rack()
    for name in (TWO, FOUR):
        answers.looks["ray"] = {}
        answers.facts[name]["ours"] = []
    answers.facts[ONE]["ib"] = {}
    findings = [f for f in examined(answers) if f.check == "running.ranks"]
    withheld = {str(f.data["service"]): bool(f.fix.after) for f in findings if f.fix}
    assert withheld == {"chat": True, "code": False}


def test_a_remedy_of_one_service_restarts_no_other() -> None:
    answers = rack()
    answers.looks["ray"] = {}
    answers.facts[FOUR]["ours"] = []
    pasted = {line for f in examined(answers) if f.fix for line in f.fix.to_paste}
    assert "sparkctl restart code" in pasted
    assert not pasted & {"sparkctl down", "sparkctl logs vllm"}
    assert Remedy("x", (LOG, *RESTART, "b")).of_service("s").commands == (
        "sparkctl logs s",
        "sparkctl restart s",
        "b",
    )


def test_the_port_of_the_api_has_the_key_of_its_service() -> None:
    answers = rack()
    answers.facts[THREE]["ports"] = [make.listener(31000), make.listener(30000)]
    answers.facts[ONE]["ports"] = [make.listener(31000)]
    (found,) = [f for f in examined(answers, "ports.free") if f.severity is Severity.FAIL]
    assert (found.node, found.data["setting"]) == (THREE, "services.code.port")


def test_a_doubtful_argument_has_the_key_of_its_service() -> None:
    arguments = "arguments: {gpu-memory-utilization: 0.2, enable-expert-parallel: true}"
    text = INVENTORY.replace("arguments: {gpu-memory-utilization: 0.2}", arguments, 1)
    found = [f for f in examined(rack(text), "settings.recipe") if f.severity is Severity.WARN]
    setting = "services.chat.arguments.enable-expert-parallel"
    assert [(f.node, f.data["setting"]) for f in found] == [(ONE, setting), (TWO, setting)]


def test_a_node_without_a_service_is_a_host_and_a_part_of_the_fabric() -> None:
    answers = rack(spare=True)
    own = [f for f in examined(answers) if f.node == SPARE]
    assert {f.check.partition(".")[0] for f in own} == {"reach", "fabric", "host"}
    assert {f.scope for f in own} == {"node"}
    assert "host.memory" not in {f.check for f in own}
    assert wrong(answers) == set()
    del answers.facts[SPARE]["ib"]
    assert {node for _, node, _ in wrong(answers)} == {SPARE}


def test_a_node_is_undecided_where_only_another_service_was_decided() -> None:
    answers = rack(spare=True)
    del answers.looks["generation"][THREE]
    snapshot, checks = answers.snapshot(), choose_checks(["running.generation"])
    assert [*undecided(snapshot, checks, evaluate(snapshot, checks))] == [THREE, FOUR]


class Rack(Asked):
    """Connected to every node of the rack."""

    def __init__(self, *, spare: bool = False) -> None:
        super().__init__(rack(spare=spare))
        pool: Any = self.pool
        pool.connections = {n.name: None for n in self.inventory.nodes}


def test_a_node_tries_the_peers_of_its_own_service() -> None:
    session = Rack(spare=True)
    collect(session, session.inventory.nodes, [Source.PEERS])
    tried = {
        name: {ping["to"] for ping in request["pings"]}
        for (name, target), request in session.requests.items()
        if target == PEERS.target
    }
    assert tried == {ONE: {TWO}, TWO: {ONE}, THREE: {FOUR}, FOUR: {THREE}}


def test_each_head_is_asked_for_a_completion_at_its_own_port() -> None:
    session = Rack()
    collect(session, session.inventory.nodes, [Source.GENERATION])
    asked = {n: r["base"] for (n, t), r in session.requests.items() if t == COMPLETION.target}
    assert asked == {ONE: "http://127.0.0.1:30000", THREE: "http://127.0.0.1:31000"}


@pytest.mark.parametrize("name", [THREE, FOUR])
def test_only_the_service_of_a_named_node_is_asked(name: str) -> None:
    session = Rack(spare=True)
    snapshot = collect(session, [session.node(name)], [Source.PEERS, Source.GENERATION])
    assert {node for node, _ in session.requests} == {THREE, FOUR}
    found = evaluate(snapshot, choose_checks(["fabric.pairing", "running.generation"]))
    assert {f.data["service"] for f in found} == {"code"}


def test_preflight_leaves_out_a_node_on_which_nothing_starts() -> None:
    session = Rack(spare=True)
    assert preflight(session, passive=True) == []
    session.facts[SPARE] = all_facts({SPARE: {}})[SPARE]
    assert preflight(session, passive=True) == []
