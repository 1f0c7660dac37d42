"""What the running checks say of a start: under way, failed, or over and not noted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor import collect as collecting
from sparkctl.doctor.check import Source
from sparkctl.engines.explanation import Explanation
from sparkctl.operations.starting import Startup, clock
from sparkctl.output.doctor import print_findings
from tests.unit.doctorview import examined, wrong
from tests.unit.runningpair import found, only, ray_nodes, running
from tests.unit.started import ONE, RUN, TWO, WHO, started
from tests.unit.test_doctor_collect import Asked

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding
    from tests.unit.doctorview import Answers

LOADING = {"state": "starting", "stage": "loading", "title": "loading the model", "percent": 42}
RUNNING = (
    "running.ray",
    "running.api",
    "running.generation",
    "running.engine",
    "running.ranks",
    "running.transport",
    "running.traffic",
)


def recorded(**phases: str) -> Answers:
    """The pair that serves, with the records of its units."""
    answers = running()
    for name, facts in started(**phases).items():
        state = answers.facts[name]["state"]
        state |= {"exists": True, "files": facts["state"]["files"]}
        for process in answers.facts[name]["ours"]:
            process |= {"run": RUN, "unit": f"vllm/0/{process['role']}/{name}"}
    return answers


def starting(**look: Any) -> Answers:
    """While vLLM starts: nothing listens yet."""
    answers = recorded(ray="starting", vllm="starting")
    refused = {"error": "refused", "before": {}, "after": {}, "health": {"state": "silent"}}
    answers.looks["generation"] = {ONE: refused}
    answers.looks["api"] = {ONE: {"url": "http://x:30000/health", "error": "refused"}}
    answers.looks["start"] = {ONE: {**LOADING, **look}}
    return answers


def by_check(answers: Answers) -> dict[str, Finding]:
    return {f.check: f for f in examined(answers, *RUNNING)}


def test_the_pair_with_records_is_well() -> None:
    assert wrong(recorded()) == set()


def test_a_start_is_information_with_who_and_its_stage() -> None:
    answers = starting()
    answers.looks["ray"][ONE]["nodes"] = ray_nodes()
    findings = by_check(answers)
    assert {f.severity.value for f in findings.values()} == {"INFO"}
    assert {check: f.code for check, f in findings.items()} == dict.fromkeys(RUNNING, "starting")
    api = findings["running.api"]
    since = clock(1000.0, time.time())
    assert api.summary == f"vLLM is starting, by {WHO} since {since}: loading the model 42 %"
    assert {k: api.data[k] for k in ("who", "stage", "percent")} == {
        "who": WHO,
        "stage": "loading",
        "percent": 42,
    }


def test_a_start_is_shown_once_and_other_infos_are_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_findings([*by_check(starting()).values()], [])
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count(f"vLLM is starting, by {WHO} since") == 1
    print_findings([*by_check(starting()).values()], [], verbose=True)
    assert " ".join(capsys.readouterr().out.split()).count("vLLM is starting") > 1


def test_a_start_is_known_without_its_log() -> None:
    answers = starting()
    answers.looks, answers.passive = {}, True
    assert by_check(answers)["running.api"].code == "starting"


def test_ray_that_starts_before_the_engine_is_a_start_while_its_command_lives() -> None:
    answers = recorded(ray="starting")
    answers.facts[ONE]["ours"] = [p for p in answers.facts[ONE]["ours"] if p["role"] == "ray"]
    files = answers.facts[ONE]["state"]["files"]
    files["applied.json"] = files["applied.json"].replace("vllm/0/vllm/", "old/0/vllm/")
    answers.looks["ray"] = {ONE: {"error": "refused"}}
    assert found(answers, "running.ray") == ("FAIL", ONE, "no-answer")
    holder = {"who": WHO, "when": "now", "why": "up", "expires_in": 20.0}
    answers.facts[ONE]["state"]["lease"] = holder
    assert by_check(answers)["running.ray"].code == "starting"


def test_a_raylet_that_died_during_a_start_is_no_start_of_ray() -> None:
    answers = starting()
    answers.facts[TWO]["ours"] = []
    answers.looks["ray"][ONE]["nodes"] = ray_nodes(("192.168.100.11", True, 1.0))
    assert found(answers, "running.ray") == ("FAIL", TWO, "not-alive")


def test_a_start_that_failed_is_one_failure_with_its_cause() -> None:
    why, known = "vLLM failed to start: ValueError: no memory", Explanation("x", "set {key}.y")
    answers = starting(state="failed", why=why, known=known)
    failed = only(answers, "running.ranks")
    assert (failed.severity.value, failed.code, failed.node) == ("FAIL", "start-failed", ONE)
    assert failed.summary == "vLLM failed to start: ValueError: no memory"
    assert failed.data == {"run": RUN, "stage": "loading", "cause": "x"}
    assert failed.fix
    assert failed.fix.text == "set vllm.y"
    assert by_check(answers)["running.api"].code == "not-started"


def test_a_start_that_is_ready_but_not_noted_is_judged_as_what_runs() -> None:
    answers = recorded(ray="starting", vllm="starting")
    answers.looks["start"] = {ONE: {"state": "ready", "title": "ready"}}
    assert {f.code for f in by_check(answers).values()} == {"ok"}


def test_nodes_are_looked_for_at_the_address_that_ray_was_started_with() -> None:
    answers = recorded()
    # The first half has lost its address since: what would be chosen now is the second one.
    for name in answers.names:
        files = answers.facts[name]["state"]["files"]
        files["applied.json"] = files["applied.json"].replace("192.168.100.", "192.168.101.")
    nodes = (("192.168.101.11", True, 1.0), ("192.168.101.12", True, 1.0))
    answers.looks["ray"][ONE]["nodes"] = ray_nodes(*nodes)
    assert [f.code for f in examined(answers, "running.ray")] == ["ok", "ok"]


@pytest.mark.parametrize("state", ["starting", "failed", "ready"])
def test_the_api_is_asked_once_the_start_is_over(
    monkeypatch: pytest.MonkeyPatch, state: Any
) -> None:
    monkeypatch.setattr(collecting, "startup", lambda *_, **__: Startup(state))
    session = Asked(starting())
    sources = [Source.API, Source.GENERATION, Source.RAY]
    snapshot = collecting.collect(session, session.inventory.nodes, sources)
    assert snapshot.looks.start == {ONE: Startup(state)}
    asked = {target for _, target in session.requests}
    assert ("completion.ask" in asked) == (state != "starting")
    assert "raytable.table" in asked


def test_no_rank_at_all_after_a_start_is_no_start() -> None:
    answers = recorded()
    for name in answers.names:
        ours = answers.facts[name]["ours"]
        answers.facts[name]["ours"] = [p for p in ours if "Worker" not in p["command"]]
    assert found(answers, "running.ranks") == ("UNKNOWN", ONE, "no-rank")
