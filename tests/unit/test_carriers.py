"""Ray that is kept below a model that must start: whether it would carry the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from sparkctl.facts.calls import RAY_TABLE, UNTIL
from sparkctl.operations import outlook as looks
from sparkctl.operations.session import Session
from tests.unit.answers import all_facts, decoded
from tests.unit.clusterpair import CLUSTER, applied, desired, entry, nodes, running, without
from tests.unit.runs import Told

if TYPE_CHECKING:
    from sparkctl.facts.calls import Call

T = TypeVar("T")
WORKER_AT = "192.168.100.12"
TABLE: dict[str, Any] = {"nodes": [], "groups": [], "missing": [], "ray": "2.60.0"}
STARTS: dict[str, Any] = {"listens": False, "ended": False, "status": None, "tail": []}


def changes(known: dict[str, Any], table: dict[str, Any]) -> list[str]:
    """What `up` would do where Ray has this table."""

    class Asking(Session):
        def ask(  # type: ignore[override]  # takes the real one's options and needs none
            self, _: Any, call: Call[T], *__: Any, **___: Any
        ) -> T:
            return decoded(call, {RAY_TABLE.target: table, UNTIL.target: STARTS}[call.target])

    session = Asking(CLUSTER, Path(), None)  # type: ignore[arg-type]  # no connection is used
    session.facts = all_facts(known)
    return [str(change) for change in looks.outlook(session, Told()).plan.changes]


@pytest.fixture
def dead() -> dict[str, Any]:
    """The pair without its vLLM."""
    return without(running(desired(), nodes()), "spark-1", role="vllm")


def test_a_ray_that_lists_all_is_kept(dead: dict[str, Any]) -> None:
    assert changes(dead, TABLE) == ["start vLLM on spark-1: not running"]


def test_a_worker_that_is_not_in_rays_table_is_restarted_too(dead: dict[str, Any]) -> None:
    assert changes(dead, {**TABLE, "missing": [WORKER_AT]}) == [
        f"restart Ray worker on spark-2: Ray does not list {WORKER_AT} as alive with its GPU",
        "start vLLM on spark-1: not running",
    ]


def test_a_ray_that_does_not_answer_is_restarted(dead: dict[str, Any]) -> None:
    found = changes(dead, {"error": "connection refused", "foreign": False})
    assert found[0] == "restart Ray head on spark-1: Ray does not answer: connection refused"
    assert len(found) == 3


def test_a_worker_that_is_joining_is_not_restarted(dead: dict[str, Any]) -> None:
    made = desired()
    (unit,) = [u for u in made.units if u.endswith("/spark-2")]
    written = applied({unit: entry(made, unit, phase="starting")})
    dead["spark-2"]["state"]["files"]["applied.json"] = written
    missing = {**TABLE, "missing": [WORKER_AT]}
    assert changes(dead, missing) == ["start vLLM on spark-1: not running"]
