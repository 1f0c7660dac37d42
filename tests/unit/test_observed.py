"""Which units run, by what the nodes answer: each process in its unit, and what is not known."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.errors import RemoteError
from sparkctl.facts.unread import Missing
from sparkctl.node.difference import difference
from sparkctl.node.units import Absent, Running, Unread
from sparkctl.plan.observed import Seen
from tests.unit.answers import all_facts, process
from tests.unit.clusterpair import (
    CLUSTER,
    HEAD,
    SERVE,
    WORKER,
    applied,
    desired,
    entry,
    nodes,
    running,
)
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from sparkctl.inventory.models import Inventory
    from sparkctl.node.units import Observed

UNITS = desired().units
RANK = "ray::RayWorkerProc"


@pytest.fixture
def live() -> dict[str, Any]:
    return running(desired(), nodes())


def seen(known: dict[str, Any], inventory: Inventory = CLUSTER) -> Seen:
    return Seen(inventory, all_facts(known))


def observed(known: dict[str, Any]) -> dict[str, Observed]:
    return seen(known).observed(UNITS)


def runs(found: Observed) -> Running:
    assert isinstance(found, Running)
    return found


def test_each_unit_has_its_own_processes_and_record(live: dict[str, Any]) -> None:
    found = observed(live)
    assert {*found} == {HEAD, WORKER, SERVE}
    head = runs(found[HEAD])
    assert [p.command for p in head.processes] == ["/ray/raylet --x", "/ray/gcs_server --x"]
    assert (head.node, head.run, head.phase) == ("spark-1", "r1", "ready")
    assert [p.command for p in runs(found[SERVE]).processes] == ["python /v/vllm serve m"]
    assert {u: runs(o).digest for u, o in found.items()} == {u: UNITS[u].digest for u in UNITS}


def test_nothing_runs_where_nothing_was_started() -> None:
    found = observed(nodes())
    assert found == {u: Absent(unit.node) for u, unit in UNITS.items()}


def test_a_record_without_processes_is_of_what_does_not_run(live: dict[str, Any]) -> None:
    live["spark-2"]["ours"] = []
    assert observed(live)[WORKER] == Absent("spark-2")


def test_what_only_watches_a_program_is_none_of_its_processes(live: dict[str, Any]) -> None:
    live["spark-2"]["ours"] = [process("log", "python3 -", unit=WORKER)]
    assert observed(live)[WORKER] == Absent("spark-2")


def test_the_ranks_of_a_unit_are_its_own_on_whatever_node_they_live(live: dict[str, Any]) -> None:
    """Ray starts them, so that they carry its mark."""
    for name in ("spark-1", "spark-2"):
        rank = process("ray", RANK, unit=f"vllm/0/ray/{name}", pid=40)
        other = process("ray", RANK, unit=f"other/0/ray/{name}", pid=41)
        live[name]["ours"] += [rank, other]
    found = runs(observed(live)[SERVE])
    assert [(p.node, p.pid) for p in found.processes if p.rank] == [
        ("spark-1", 40),
        ("spark-2", 40),
    ]
    assert [p.pid for p in runs(observed(live)[WORKER]).processes] == [1, 40]


def test_what_is_not_desired_is_seen_too(live: dict[str, Any]) -> None:
    stray = "old/0/vllm/spark-2"
    live["spark-2"]["ours"].append(process("vllm", "vllm serve", unit=stray, run="r0"))
    found = runs(observed(live)[stray])
    assert (found.node, found.run, found.digest) == ("spark-2", "r0", "")


@pytest.mark.parametrize("phase", ["starting", "failed", "ready"])
def test_how_far_a_start_came_is_in_its_record(phase: str, live: dict[str, Any]) -> None:
    units = {SERVE: entry(desired(), SERVE, run="r9", phase=phase)}
    live["spark-1"]["state"]["files"]["applied.json"] = applied(units)
    found = runs(observed(live)[SERVE])
    assert (found.phase, found.run) == (phase, "r9")


OLDER = [
    json.dumps({"ray": "x", "ray_run": "r7", "vllm": "y", "vllm_run": "r7"}),
    json.dumps(
        {
            "schema": 1,
            "units": {
                kind: {"run": "r7", "salt": "s", "argv": [kind, "start"], "environment": {}}
                for kind in ("ray", "vllm")
            },
        }
    ),
    applied(
        {},
        older={
            kind: {"run": "r7", "salt": "s", "argv": [kind, "start"], "environment": {}}
            for kind in ("ray", "vllm")
        },
    ),
]


@pytest.mark.parametrize("written", OLDER, ids=["digests", "schema 1", "moved into schema 2"])
def test_an_older_sparkctls_processes_are_those_of_the_same_units(
    written: str, live: dict[str, Any]
) -> None:
    """Its marks name the kind alone, and it recorded nothing that was not ready."""
    for found in live.values():
        found["state"]["files"]["applied.json"] = written
        found["ours"] = [{**p, "unit": ""} for p in found["ours"]]
    live["spark-2"]["ours"].append(process("ray", RANK, pid=40))
    units = observed(live)
    assert {*units} == {HEAD, WORKER, SERVE}
    assert {runs(o).run for o in units.values()} == {"r7"}
    assert {runs(o).phase for o in units.values()} == {"ready"}
    assert [p.node for p in runs(units[SERVE]).processes if p.rank] == ["spark-2"]


@pytest.mark.parametrize("group", ["ours", "state"])
def test_a_node_of_which_something_was_not_read_is_unread(group: str, live: dict[str, Any]) -> None:
    del live["spark-2"][group]
    live["spark-2"]["unread"] = {group: "TimeoutError: no answer within 6 s"}
    found = observed(live)
    assert isinstance(found[HEAD], Running)
    unread = found[WORKER]
    assert isinstance(unread, Unread)
    assert "no answer within 6 s" in unread.reason


def test_a_node_without_facts_is_unread_with_its_error(live: dict[str, Any]) -> None:
    facts = all_facts(live)
    del facts["spark-2"]
    lost = RemoteError("no route to host", node="spark-2")
    found = Seen(CLUSTER, facts, {"spark-2": lost}).observed(UNITS)[WORKER]
    assert found == Unread("spark-2", "no route to host")
    assert isinstance(Seen(CLUSTER, facts).observed(UNITS)[WORKER], Unread)


def test_a_node_with_a_damaged_record_is_unread(live: dict[str, Any]) -> None:
    live["spark-1"]["state"]["files"]["applied.json"] = "{"
    found = observed(live)
    assert found[SERVE] == Unread("spark-1", "applied.json is damaged")
    assert isinstance(found[WORKER], Running)


def test_what_runs_without_a_record_has_no_digest(live: dict[str, Any]) -> None:
    live["spark-1"]["state"]["files"]["applied.json"] = None
    found = runs(observed(live)[SERVE])
    assert (found.digest, found.run) == ("", "r1")


def test_nothing_is_concluded_where_a_newer_sparkctl_wrote(live: dict[str, Any]) -> None:
    live["spark-2"]["state"]["files"]["applied.json"] = json.dumps({"schema": 99, "units": {}})
    with pytest.raises(Missing, match="unknown schema 99") as caught:
        seen(live)
    assert caught.value.node == "spark-2"


@pytest.mark.parametrize("unit", ["weird", "a/b", "a/0/b/c/spark-2"])
def test_a_process_of_what_is_no_unit_makes_its_node_unread(
    unit: str, live: dict[str, Any]
) -> None:
    live["spark-2"]["ours"] = [process("ray", "/ray/raylet", unit=unit, pid=5)]
    found = observed(live)
    unread = found[WORKER]
    assert isinstance(unread, Unread)
    assert unit in unread.reason
    assert isinstance(found[HEAD], Running)


def test_a_unit_is_where_its_processes_are(live: dict[str, Any]) -> None:
    """As after two hosts were swapped in the inventory: it is stopped where it runs."""
    one, two = live["spark-1"], live["spark-2"]
    swapped = seen({"spark-1": two, "spark-2": one})
    found = swapped.observed(UNITS)
    assert {u: runs(o).node for u, o in found.items()} == {
        HEAD: "spark-2",
        WORKER: "spark-1",
        SERVE: "spark-2",
    }
    assert {u: runs(o).digest for u, o in found.items()} == {u: UNITS[u].digest for u in UNITS}
    changes = difference(UNITS, found, recorded=swapped.recorded).changes
    assert next(str(c) for c in changes) == "restart Ray head on spark-1: it runs on spark-2"
    assert {c.action for c in changes} == {"restart"}


def test_a_unit_that_runs_on_two_nodes_is_not_the_desired_one(live: dict[str, Any]) -> None:
    live["spark-2"]["ours"].append(process("ray", "/ray/raylet", unit=HEAD, pid=5))
    assert runs(observed(live)[HEAD]).node == "spark-2"
    assert seen(live).places(HEAD) == ["spark-1", "spark-2"]


def test_a_renamed_node_has_the_units_of_its_old_name(live: dict[str, Any]) -> None:
    renamed = parse(GOOD.replace("spark-2", "spark-b").encode(), "x")
    known = {"spark-1": live["spark-1"], "spark-b": live["spark-2"]}
    new = desired(renamed, known)
    there = Seen(renamed, all_facts(known))
    found = there.observed(new.units)
    assert runs(found[WORKER]).node == "spark-b"
    changes = difference(new.units, found, recorded=there.recorded).changes
    assert "stop Ray worker on spark-2: no longer in the inventory" in [str(c) for c in changes]
    assert "start Ray worker on spark-b: not running" in [str(c) for c in changes]


def test_the_nodes_states_say_which_cluster_they_are_of(live: dict[str, Any]) -> None:
    assert {s.id for s in seen(live).states.values()} == {"id-1"}
    assert {*seen(live).recorded} == {HEAD, WORKER, SERVE}
