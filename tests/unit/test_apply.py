"""The steps of an `up`: their order, what each waits for, and how a failed one is explained."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sparkctl.errors import LeaseLostError, RemoteError, ServingError
from sparkctl.operations import apply, ready, startup
from sparkctl.operations.run import LEFT, perform
from tests.unit.asked import CLUSTER, Asked, live, run
from tests.unit.clusterpair import HEAD, SERVE, WORKER, applied, desired, entry, without
from tests.unit.runs import Told

UNTIL: dict[str, Any] = {"listens": True, "ended": False, "status": None, "tail": []}
ENDED: dict[str, Any] = {"listens": False, "ended": True, "status": 0, "tail": []}
TABLE: dict[str, Any] = {"nodes": [], "groups": [], "missing": [], "ray": "2.60.0"}
RECOVERS = "take back what earlier runs left"
STARTS = ["write the environment", "start Ray head", "start Ray worker, vLLM"]
WAITS = [
    "wait for Ray head, Ray worker",
    "wait for Ray's node table",
    "wait for vLLM",
    "note what runs",
]


def starting(run: str = "r9") -> dict[str, Any]:
    """The nodes in the middle of a start by another run."""
    known, made = live(), desired(CLUSTER)
    for name in known:
        units = [u for u in made.units.values() if u.node == name]
        entries = {u.id: entry(made, u.id, run=run, phase="starting") for u in units}
        known[name]["state"]["files"]["applied.json"] = applied(entries)
    return known


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The units whose logs are followed, which are ready at once."""
    found: list[str] = []
    monkeypatch.setattr(startup, "watch", lambda _, unit, **__: found.append(unit.id))
    return found


def answered(name: str, request: dict[str, Any]) -> dict[str, Any]:
    """Of a program that does what it should."""
    del name
    return ENDED if request["ends"] else UNTIL


def titles(made: Any, *, detach: bool = False) -> list[str]:
    told = made.reporter
    perform(made, apply.steps(made, detach=detach), keep=False)
    return [said for said in told.said if not said.startswith("(")]


def test_from_nothing_all_is_started_before_anything_is_waited_for(watched: list[str]) -> None:
    made, session = run(waits_until=answered, raytable_table=TABLE)
    assert titles(made) == [*STARTS, *WAITS]
    assert watched == [SERVE]
    assert made.ready == {HEAD, WORKER, SERVE}
    calls = [f"{node} {call}" for node, call in session.order]
    # The GCS answers before a worker joins it; vLLM waits for it itself.
    first = [c for c in calls if "launch.start" in c or "waits.until" in c][:4]
    assert first == [
        "spark-1 launch.start",
        "spark-1 launch.start",
        "spark-1 waits.until",
        "spark-2 launch.start",
    ]
    assert session.requests["spark-1", "settle.settle"]["units"] == {HEAD: made.id, SERVE: made.id}


def test_detach_starts_everything_and_waits_for_rays_daemons_alone(watched: list[str]) -> None:
    made, _ = run(waits_until=answered)
    assert titles(made, detach=True) == [*STARTS, WAITS[0]]
    assert watched == []
    assert {*made.started} == {HEAD, WORKER, SERVE}
    assert not made.ready


def test_what_depends_is_stopped_first_and_what_is_kept_is_not_touched(watched: list[str]) -> None:
    known = live()
    known["spark-2"]["ours"] = []
    made, session = run(known, waits_until=answered, raytable_table=TABLE)
    assert titles(made)[:5] == [
        RECOVERS,
        "stop vLLM",
        "write the environment",
        "start Ray worker, vLLM",
        "wait for Ray worker",
    ]
    assert session.requests["spark-1", "stop.stop"]["units"] == [SERVE]
    assert watched == [SERVE]
    assert HEAD not in made.started


def test_a_ray_that_nothing_joins_is_not_waited_for(watched: list[str]) -> None:
    made, session = run(without(live(), "spark-1", role="vllm"))
    assert titles(made) == [
        RECOVERS,
        "write the environment",
        "start vLLM",
        "wait for vLLM",
        "note what runs",
    ]
    assert ("spark-1", "waits.until") not in session.order
    assert watched == [SERVE]


def test_a_start_that_is_under_way_is_gone_on_with(watched: list[str]) -> None:
    """Nothing is started, and its notes are those of the run that started it."""
    known = starting()
    made, session = run(
        known, waits=(HEAD, WORKER, SERVE), waits_until=answered, raytable_table=TABLE
    )
    assert not made.outlook.plan
    assert titles(made) == WAITS
    assert watched == [SERVE]
    assert not [call for _, call in session.order if call in ("launch.start", "files.write")]
    assert session.requests["spark-1", "waits.until"]["run"] == "r9"
    assert session.requests["spark-1", "settle.settle"]["units"] == {HEAD: "r9", SERVE: "r9"}


def test_its_log_is_read_from_where_that_run_began() -> None:
    made, _ = run(starting(), waits=(SERVE,))
    found = startup._watched(made, made.outlook.units[SERVE])
    assert (found.pid, found.started, found.log) == (7, 9, f"/s/{SERVE}.log")


def test_an_older_start_is_not_taken_for_one_under_way() -> None:
    known = live()
    for found in known.values():
        units = {"schema": 1, "units": {}}
        found["state"]["files"]["applied.json"] = json.dumps(units)
    made, _ = run(known)
    assert {c.why for c in made.outlook.plan.changes} >= {"the record of its start is missing"}


@pytest.mark.parametrize(
    ("answer", "said", "status"),
    [
        ({**ENDED, "status": 1, "tail": ["RuntimeError: no GCS"]}, "RuntimeError: no GCS", 1),
        ({**ENDED, "ended": False, "status": None}, "timed out after", None),
    ],
)
def test_a_program_that_ends_badly_or_not_at_all_fails_and_all_is_taken_back(
    answer: dict[str, Any], said: str, status: int | None, watched: list[str]
) -> None:
    def until(name: str, request: dict[str, Any]) -> dict[str, Any]:
        return answer if request["ends"] and name == "spark-2" else answered(name, request)

    made, session = run(waits_until=until)
    with pytest.raises(ServingError, match=said) as caught:
        perform(made, apply.steps(made), keep=False)
    error = caught.value
    assert (error.code, error.node, error.data["status"]) == ("ray-start", "spark-2", status)
    assert error.data["unit"] == WORKER
    assert watched == []
    stops = [node for node, call in session.order if call == "stop.stop"]
    assert stops == ["spark-1", "spark-2", "spark-1"], "vLLM, the worker, the head"
    assert isinstance(made.reporter, Told)
    assert made.reporter.said[-1] == "Rolled back."


def test_a_head_that_dies_before_its_gcs_answers_is_the_cause_and_starts_no_worker(
    watched: list[str],
) -> None:
    """vLLM was started along with it, and its own failure to find Ray is not looked at."""
    dead = {**ENDED, "status": 1, "tail": ["port 6379 is in use"]}
    made, session = run(waits_until=dead)
    with pytest.raises(ServingError) as caught:
        perform(made, apply.steps(made), keep=False)
    assert (caught.value.node, caught.value.data["unit"]) == ("spark-1", HEAD)
    assert ("spark-2", "launch.start") not in session.order
    assert watched == []
    assert isinstance(made.reporter, Told)
    assert [said for said in made.reporter.said if said.startswith("roll back: stop")] == [
        "roll back: stop vLLM on spark-1",
        "roll back: stop Ray head on spark-1",
    ]


def test_a_node_that_is_missing_from_rays_table_is_named(watched: list[str]) -> None:
    lacking = {**TABLE, "missing": ["192.168.100.12"]}
    made, _ = run(waits_until=answered, raytable_table=lacking)
    with pytest.raises(ServingError, match=r"spark-2 at 192\.168\.100\.12") as caught:
        perform(made, apply.steps(made), keep=False)
    assert (caught.value.code, caught.value.data) == ("ray-incomplete", {"missing": ["spark-2"]})
    assert watched == []


def test_what_cannot_be_noted_undoes_no_start(watched: list[str]) -> None:
    """The model is served by then."""

    def lost(name: str, _: dict[str, Any]) -> Any:
        gone = RemoteError("connection lost", node=name)
        return gone if name == "spark-2" else {"changed": []}

    made, session = run(waits_until=answered, raytable_table=TABLE, settle_settle=lost)
    said = titles(made)
    assert any(line.startswith("warning: spark-2: ") for line in said)
    assert ("spark-1", "stop.stop") not in session.order
    assert watched == [SERVE]


def test_a_lease_that_is_lost_at_the_end_is_an_error_and_undoes_nothing(watched: list[str]) -> None:
    made, session = run(
        waits_until=answered, raytable_table=TABLE, settle_settle=LeaseLostError("another up")
    )
    with pytest.raises(LeaseLostError):
        perform(made, apply.steps(made), keep=False)
    assert ("spark-1", "stop.stop") not in session.order
    assert watched == [SERVE]


@pytest.mark.parametrize("stays", [True, False])
def test_ctrl_c_asks_whether_the_start_goes_on(
    *, stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(startup, "watch", interrupted)
    made, session = run(waits_until=answered, raytable_table=TABLE)
    with pytest.raises(KeyboardInterrupt):
        perform(made, apply.steps(made), keep=False, leave=lambda: stays)
    assert isinstance(made.reporter, Told)
    assert made.reporter.said[-1] == (LEFT if stays else "Rolled back.")
    assert (("spark-1", "stop.stop") in session.order) is not stays


def test_parts_together_share_their_steps_and_rolling_ones_do_not() -> None:
    made, _ = run()
    part = made.outlook.plan.parts[0]
    both = replace(made.outlook.plan, parts=(part, part))
    made.outlook = replace(made.outlook, plan=both)
    together = [s.title for s in apply.steps(made, detach=True)]
    assert together == [
        "write the environment",
        "start Ray heads",
        "start Ray workers, vLLM",
    ]
    made.outlook = replace(made.outlook, plan=replace(both, strategy="rolling"))
    assert [s.title for s in apply.steps(made, detach=True)] == [
        *STARTS,
        *STARTS,
    ]


def test_nothing_is_waited_for_twice(watched: list[str]) -> None:
    made, session = run(waits_until=answered, raytable_table=TABLE)
    titles(made)
    assert isinstance(session, Asked)
    assert [*ready.steps(made)] == []
    assert watched == [SERVE]
