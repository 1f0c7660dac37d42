"""The checks of a service follow its units and its engine's row: what does not concern it says so,
and a gang is judged by its units. The toy (tests/lab/toy) has neither Ray nor packages.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.check import Source
from sparkctl.doctor.checks.ports import ports, required_ports
from sparkctl.doctor.collect import collect
from sparkctl.doctor.finding import Severity
from sparkctl.doctor.preflight import preflight
from sparkctl.engines.inventory import parse
from sparkctl.engines.table import ENGINES
from sparkctl.engines.vllm.engine import VLLM
from sparkctl.errors import ConnectError, UsageError
from sparkctl.facts.calls import PROBE
from sparkctl.node.units import LogStages
from sparkctl.operations.logs.records import recorded
from sparkctl.operations.logs.selection import chosen, missing
from sparkctl.plan.desired import desire
from sparkctl.plan.outline import outline
from tests.lab.toy import engine
from tests.unit import clusterpair
from tests.unit.answers import all_facts, listener, process
from tests.unit.doctorview import INVENTORY, Answers, examined, healthy, wrong
from tests.unit.test_doctor_collect import Asked

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding
    from sparkctl.plan.desired import Desired

ONE, TWO = "spark-1", "spark-2"
FIRST, SECOND = f"toy/0/rank/{ONE}", f"toy/0/rank/{TWO}"
TOY = INVENTORY.partition("vllm:")[0] + "services: {toy: {engine: toy, executor: gang, model: toy}}"
# Of no concern to an engine without Ray, packages, checkpoint, recipes, steps and titled ranks.
FOREIGN = {
    *("settings.memory-monitor", "ports.workers", "running.ray"),
    *("runtime.present", "runtime.imports", "runtime.versions", "runtime.nccl"),
    *("model.present", "model.same", "model.recipe", "host.memory", "running.engine"),
    *("running.verbs", "running.libnccl", "running.transport", "running.traffic"),
}


@pytest.fixture(autouse=True)
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "toy", engine.row())


def toy(inventory: str = TOY) -> Answers:
    """The pair with the toy as its service, of which nothing runs."""
    answers = healthy(inventory)
    answers.looks.pop("imports")
    return answers


def made(answers: Answers) -> Desired:
    return desire(answers.inventory.views[0], [], all_facts(answers.facts))


def gang(*names: str) -> Answers:
    """The pair on which the toy was started, and on these nodes runs."""
    answers = toy()
    clusterpair.running(made(answers), answers.facts)
    for rank, name in enumerate((ONE, TWO)):
        unit, command = f"toy/0/rank/{name}", f"python3 {engine.PROGRAM} {rank}"
        own = process("rank", command, unit=unit, pid=40 + rank, environment=None)
        answers.facts[name]["ours"] = [own] if name in names else []
    return answers


def foreign(findings: list[Finding]) -> set[str]:
    """Without what concerns containers alone, whatever the engine."""
    checks = {f.check for f in findings if f.code == "not-applicable"}
    return {check for check in checks if not check.startswith("container.")}


def test_what_does_not_concern_an_engine_says_so() -> None:
    found = examined(toy())
    assert foreign(found) == FOREIGN
    assert {f.severity for f in found if f.check in FOREIGN} == {Severity.INFO}
    assert not wrong(toy())
    assert not [f.summary for f in found if "vLLM" in f.summary]
    assert not foreign(examined(healthy()))


def test_a_node_without_facts_is_not_judged_by_what_does_not_concern_it() -> None:
    answers = toy()
    answers.facts.pop(TWO)
    answers.errors = {TWO: ConnectError("no route", node=TWO)}
    of = [f for f in examined(answers, "host.memory", "running.ray") if f.node == TWO]
    assert {(f.check, f.severity) for f in of} == {
        ("host.memory", Severity.UNKNOWN),
        ("running.ray", Severity.UNKNOWN),
    }


def test_a_start_is_not_refused_for_what_another_engine_requires() -> None:
    answers = toy()
    for name in (ONE, TWO):
        answers.facts[name]["runtime"] |= {"exists": False, "versions": {}}
        answers.facts[name]["memory"]["MemAvailable"] = 2**20
        answers.facts[name]["model"] = {}
    answers.facts[ONE]["ports"] = []
    assert preflight(Asked(answers), passive=True) == []
    vllm = healthy()
    vllm.facts = answers.facts
    refused = {f.check for f in preflight(Asked(vllm), passive=True)}
    assert refused == {"runtime.present", "host.memory"}


def test_nothing_is_imported_for_an_engine_without_modules() -> None:
    session = Asked(toy())
    snapshot = collect(session, session.inventory.nodes, [Source.IMPORTS])
    assert not session.requests
    assert snapshot.looks.imports == {ONE: {}, TWO: {}}


def test_ray_is_asked_for_where_units_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An executor without Ray is another row of units alone."""

    def alone(replica: Any) -> Any:
        serve = VLLM.units(replica)[-1]
        ready = tuple(one for one in serve.ready if isinstance(one, LogStages))
        return [replace(serve, ready=ready, needs=())]

    monkeypatch.setitem(ENGINES, "vllm", replace(VLLM, units=alone))
    found = examined(healthy())
    without = {"settings.memory-monitor", "ports.workers", "running.ray"}
    assert foreign(found) == {*without, "running.api", "running.generation"}
    (ports,) = [f for f in found if (f.check, f.node) == ("ports.free", ONE)]
    assert "6379" not in ports.summary


@pytest.mark.parametrize("keys", ["executor: mp", "engine: sglang"])
def test_a_node_is_asked_for_each_port_that_is_judged(keys: str) -> None:
    """A port that is not asked for is never taken."""
    nodes = INVENTORY.partition("vllm:")[0]
    answers = healthy(f"{nodes}services: {{m: {{{keys}, model: /models/m2}}}}\n")
    session = Asked(answers)
    session.facts.clear()
    session.probe(session.inventory.nodes)
    asked = session.requests[ONE, PROBE.target]["ports"]
    view = replace(answers.snapshot(), inventory=answers.inventory.views[0])
    required = required_ports(view, ONE)
    assert len(required) == 2, "the API's, and where the ranks meet"
    assert {*required} <= {*asked}
    meeting = min(required)
    answers.facts[ONE]["ports"] = [listener(meeting)]
    taken = replace(answers.snapshot(), inventory=answers.inventory.views[0])
    (found,) = ports(taken, ONE)
    assert (found.code, found.data["port"]) == ("port-taken", meeting)
    assert found.fix
    assert ("master-port to a free port" in found.fix.text) is (keys == "executor: mp")


@pytest.mark.parametrize("inventory", [INVENTORY, TOY])
def test_the_inventory_alone_gives_the_units_but_for_where_they_listen(inventory: str) -> None:
    answers = healthy(inventory)
    found, full = outline(answers.inventory.views[0]), made(answers).units
    for units in (found, full):
        assert [*units] == [*full]
    assert [
        (u.node, u.kind, u.title, u.members, [*map(type, u.ready)]) for u in found.values()
    ] == [(u.node, u.kind, u.title, u.members, [*map(type, u.ready)]) for u in full.values()]


def ranks(answers: Answers) -> list[Finding]:
    return examined(answers, "running.ranks")


def test_a_gang_that_runs_is_well() -> None:
    assert [(f.node, f.severity) for f in ranks(gang(ONE, TWO))] == [
        (ONE, Severity.OK),
        (TWO, Severity.OK),
    ]
    assert {(c, s) for c, _, s in wrong(gang(ONE, TWO))} == {
        ("running.environment", "UNKNOWN"),  # the program wiped it
        ("running.api", "UNKNOWN"),  # not asked here
        ("running.generation", "UNKNOWN"),
    }


@pytest.mark.parametrize(("lives", "lost", "unit"), [(ONE, TWO, SECOND), (TWO, ONE, FIRST)])
def test_a_rank_that_ended_is_named_by_its_unit(lives: str, lost: str, unit: str) -> None:
    (found,) = [f for f in ranks(gang(lives)) if f.severity is Severity.FAIL]
    assert (found.node, found.code, found.data["unit"]) == (lost, "unit-unsound", unit)
    assert found.fix is not None
    assert f"sparkctl logs {unit}" in found.fix.commands
    # Its files are those of a run that others are part of.
    assert not [f for f in examined(gang(lives), "host.leftovers") if f.severity is Severity.WARN]


def test_a_member_that_ended_is_named_too() -> None:
    answers = gang(ONE, TWO)
    answers.facts[TWO]["ours"][0]["command"] = "python3 other"
    (found,) = [f for f in ranks(answers) if f.severity is Severity.FAIL]
    assert (found.node, found.code) == (TWO, "unit-unsound")


def test_a_gang_of_which_nothing_runs_is_not_running() -> None:
    (found,) = ranks(gang())
    assert (found.severity, found.code, found.node) == (Severity.INFO, "not-running", ONE)


def test_a_rank_on_a_node_that_cannot_be_read_is_not_called_dead() -> None:
    answers = gang(ONE)
    answers.facts[TWO]["unread"] = {"ours": {"reason": "no", "kind": "failed"}}
    answers.facts[TWO].pop("ours")
    assert Severity.FAIL not in {f.severity for f in ranks(answers)}
    assert [f.severity for f in ranks(answers) if f.node == TWO] == [Severity.UNKNOWN]


# The logs of what the inventory has, and of what the nodes have recorded.


@pytest.mark.parametrize(
    ("what", "node", "unit"),
    [
        (None, None, FIRST),
        (None, TWO, SECOND),
        ("toy", None, FIRST),
        ("toy", TWO, SECOND),
        ("rank", TWO, SECOND),
        (SECOND, None, SECOND),
    ],
)
def test_a_gang_has_a_log_on_each_node(what: str | None, node: str | None, unit: str) -> None:
    (found,) = chosen(toy().inventory, what, node)
    assert (found.unit, found.node.name) == (unit, unit.rpartition("/")[2])


def test_a_missing_log_names_where_the_engines_is() -> None:
    vllm = healthy().inventory
    hint = missing(vllm, *chosen(vllm, "vllm", TWO)).hint or ""
    assert f"vLLM's log is on {ONE}" in hint
    assert "vLLM" not in (missing(toy().inventory, *chosen(toy().inventory, "toy", TWO)).hint or "")


def departed(what: str, node: str | None = None, *lost: str) -> str:
    """The unit of `logs` where the toy runs and the inventory has vLLM in its place; `lost` nodes
    are unreachable.
    """
    answers = gang(ONE, TWO)
    answers.inventory = parse(INVENTORY.encode(), "i.yaml")
    for name in lost:
        del answers.facts[name]
    session = Asked(answers)
    session.pool.errors.update({n: ConnectError("no route", node=n) for n in lost})
    for name in lost:
        del session.pool.connections[name]
    with pytest.raises(UsageError) as unknown:
        chosen(session.inventory, what, node)
    return recorded(session, what, node, unknown.value).unit


@pytest.mark.parametrize(
    ("what", "node", "unit"),
    [
        (FIRST, None, FIRST),
        (SECOND, None, SECOND),
        ("toy", None, FIRST),
        ("toy", TWO, SECOND),
        ("rank", TWO, SECOND),
    ],
)
def test_a_service_that_left_the_inventory_has_logs(what: str, node: str | None, unit: str) -> None:
    assert departed(what, node) == unit


def test_what_no_record_names_is_unknown() -> None:
    with pytest.raises(UsageError) as caught:
        departed("toy/0/rank/spark-3")
    assert (caught.value.code, caught.value.exit_code) == ("unit-unknown", 2)
    assert 'did you mean "toy/0/rank/spark-2"?' in caught.value.message
    assert {FIRST, SECOND} <= {*json.loads(json.dumps(caught.value.data))["units"]}


def test_a_unit_of_a_node_that_cannot_be_asked_is_not_called_unknown() -> None:
    with pytest.raises(ConnectError):
        departed(SECOND, None, TWO)
    with pytest.raises(UsageError) as caught:
        departed("tyo", None, TWO)
    assert f"{TWO} could not be asked" in str(caught.value.hint)


def test_the_toy_is_known_to_tests_alone() -> None:
    sources = Path(outline.__code__.co_filename).parents[1].rglob("*.py")
    assert not [str(path) for path in sources if "toy" in path.read_text().lower().split()]
