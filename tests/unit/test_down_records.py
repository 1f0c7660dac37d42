"""`down` and what the nodes have recorded: an older sparkctl's units, and a newer one's."""

from __future__ import annotations

import json
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.facts.calls import BELONGINGS, CLEAR, STOP
from sparkctl.facts.unread import Missing
from sparkctl.node.units import Member, Need, Program, Stop, Unit
from sparkctl.operations.down import down
from sparkctl.operations.stoporder import rounds
from sparkctl.plan.departed import Departed
from sparkctl.remote.fanout import GroupResult
from tests.unit.answers import decoded
from tests.unit.clusterpair import CLUSTER
from tests.unit.runs import Told
from tests.unit.started import ONE, RAY, SERVE, TWO, WORKER, started

if TYPE_CHECKING:
    from sparkctl.facts.calls import Call
    from sparkctl.inventory.models import Node

OLDEST = json.dumps({"ray_run": "r", "ray": "d", "vllm_run": "r", "vllm": "d"})
SCHEMA_1 = json.dumps({"schema": 1, "units": {"ray": {"run": "r", "digest": "d"}}})
ENDED: dict[str, list[str]] = {"stopped": [], "remaining": []}


def session(asked: list[tuple[str, str]], records: dict[str, str]) -> Any:
    """A session with two nodes that have recorded this, and the calls that it makes of them."""
    state = {"exists": True, "path": "/s", "temp_dir": True, "lease": None}

    def ask_all(nodes: list[Node], call: Call[Any], *_: Any, **__: Any) -> GroupResult[Any]:
        asked.extend((call.target, node.name) for node in nodes)
        found: dict[str, Any] = {}
        for node in nodes:
            if call is BELONGINGS:
                files = {"applied.json": records[node.name]}
                found[node.name] = decoded(BELONGINGS, {**state, "files": files})
            else:
                found[node.name] = decoded(call, {**ENDED, "removed": []})
        return GroupResult(found)

    names = [node.name for node in CLUSTER.nodes]
    return SimpleNamespace(
        inventory=CLUSTER,
        lease=None,
        departed=Departed(),
        pool=SimpleNamespace(connections=dict.fromkeys(names), errors={}),
        ask_all=ask_all,
    )


@pytest.fixture(autouse=True)
def held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparkctl.operations.down.hold", lambda *_, **__: nullcontext({}))


@pytest.mark.parametrize("written", [OLDEST, SCHEMA_1])
def test_an_older_sparkctls_service_is_the_one_that_its_nodes_have(written: str) -> None:
    asked: list[tuple[str, str]] = []
    down(session(asked, dict.fromkeys(("spark-1", "spark-2"), written)), Told(), services=["vllm"])
    assert {node for call, node in asked if call == CLEAR.target} == {"spark-1", "spark-2"}


@pytest.mark.parametrize("services", [[], ["vllm"]])
def test_a_newer_sparkctls_cluster_is_not_ended_in_part(services: list[str]) -> None:
    asked: list[tuple[str, str]] = []
    there = session(asked, {"spark-1": OLDEST, "spark-2": '{"schema": 3, "units": {}}'})
    with pytest.raises(Missing) as caught:
        down(there, Told(), services=services)
    assert caught.value.code == "record-newer"
    assert not {call for call, _ in asked} & {STOP.target, CLEAR.target}


def test_units_stop_before_what_they_need_each_in_its_own_way() -> None:
    """As recorded: vLLM, then Ray's workers, then its head, and no process by its kind alone."""
    states = {n: found["state"]["files"]["applied.json"] for n, found in started().items()}
    written = {n: json.dumps({**json.loads(text), "nodes": {}}) for n, text in states.items()}
    calls: list[tuple[str, str]] = []
    told = Told()
    down(session(calls, written), told)
    stops = [(call, node) for call, node in calls if call in (STOP.target, CLEAR.target)]
    assert stops == [
        (STOP.target, ONE),
        (STOP.target, TWO),  # a rank of vLLM's is there
        (STOP.target, TWO),
        (STOP.target, ONE),
        (CLEAR.target, ONE),
        (CLEAR.target, TWO),
    ]
    assert told.said == ["stop vLLM", "stop Ray worker", "stop Ray head", "remove the files"]
    assert {RAY, SERVE} <= json.loads(written[ONE])["units"].keys()
    assert WORKER in json.loads(written[TWO])["units"]


def unit(node: str, *needs: str, stop: Stop, members: tuple[Member, ...] = ()) -> Unit:
    name, needed = f"m/0/e/{node}", tuple(Need(f"m/0/e/{n}") for n in needs)
    program = Program(("serve",))
    return Unit(name, node, "e", f"rank {node}", "m/0", program, needed, members, stop=stop)


def test_a_nodes_record_names_no_command_for_another_node() -> None:
    first = unit("a", "b", stop=Stop(20.0, leader=True, argv=("x",)), members=(Member("b", "r"),))
    second = unit("b", stop=Stop(5.0, leader=True))
    found = list(rounds({"a": {first.id: first}, "b": {second.id: second}}))
    assert [made.title for made in found] == ["stop rank a", "stop rank b"]
    asked = found[0].requests
    assert (asked["a"]["leader"], asked["a"]["argv"]) == (True, ["x"])
    assert (asked["b"]["units"], asked["b"]["argv"]) == ([first.id], [])
    assert found[1].requests == {
        "b": {**asked["b"], "units": [second.id], "grace": 5.0, "leader": True}
    }


def test_records_that_do_not_fit_together_still_stop() -> None:
    loop = {n: unit(n, other, stop=Stop()) for n, other in (("a", "b"), ("b", "a"))}
    (made,) = rounds({n: {u.id: u} for n, u in loop.items()})
    assert {*made.requests} == {"a", "b"}
