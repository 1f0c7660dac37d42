"""`status` by units: what was started, whether it is sound, how far a start has come."""

from __future__ import annotations

import json
import re
import time
from random import Random
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from sparkctl.remote import pool
from tests.bench.hostile import run
from tests.bench.nodes import Answers, Node
from tests.unit import answers
from tests.unit.boxview import BOXED, REFERENCE, UNIT
from tests.unit.started import (
    ID,
    ONE,
    RAY,
    RUN,
    SERVE,
    TWO,
    WHO,
    WORKER,
    Facts,
    changed,
    started,
    without,
)

if TYPE_CHECKING:
    from pathlib import Path

LOADING = """\
(APIServer pid=9) vLLM API server version 0.33
(EngineCore pid=1) Starting to load model
(EngineCore pid=1) Loading safetensors checkpoint shards:  42% Completed | 5/12
"""
READY = LOADING + "(APIServer pid=9) Application startup complete.\n"
FAILED = LOADING + (
    "(EngineCore pid=1) ERROR 11-22 02:00:00 [core.py:1] EngineCore failed to start.\n"
    "(EngineCore pid=1) ERROR 11-22 02:00:00 [core.py:1] ValueError: No available memory for the"
    " cache blocks. Try increasing it.\n"
)
DEAD = json.dumps({"exited": 103})


class Given(Answers):
    """The facts as given; the log `log`, and what was asked of whom."""

    def __init__(self, facts: Facts, log: str = "", *, exited: bool = False) -> None:
        super().__init__(Random(0), facts, harmed=())
        self.lines = json.dumps({"text": log}) + (f"\n{DEAD}" if exited else "")
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    def give(self, node: str, target: str, request: dict[str, Any]) -> bytes:
        self.asked.append((node, target, request))
        if target == "follow.follow":
            return self.lines.encode()
        return super().give(node, target, request)


def status(tmp_path: Path, given: Given, *words: str) -> tuple[int, str]:
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(Node.INVENTORY)
    with mock.patch.object(pool, "connect", lambda name, *_, **__: Node(name, given, [])):
        code, out, err = run(["status", *words, "-i", str(inventory)])
    assert "a bug" not in err, err
    return code, out


def as_json(tmp_path: Path, given: Given) -> tuple[int, dict[str, Any]]:
    code, out = status(tmp_path, given, "--json")
    return code, json.loads(out)


def states(document: dict[str, Any]) -> dict[str, str]:
    return {unit["id"]: unit["state"] for unit in document["units"]}


def cleared(known: dict[str, Any]) -> None:
    """Leave neither a process nor a record on the node."""
    known["ours"] = []
    known["state"]["files"]["applied.json"] = None


def test_each_unit_has_its_row(tmp_path: Path) -> None:
    code, document = as_json(tmp_path, Given(started()))
    assert (code, document["healthy"], document["id"]) == (0, True, ID)
    assert states(document) == {RAY: "ready", SERVE: "ready", WORKER: "ready"}
    serve = next(u for u in document["units"] if u["id"] == SERVE)
    assert {k: serve[k] for k in ("service", "node", "kind", "title", "run", "who")} == {
        "service": "vllm",
        "node": ONE,
        "kind": "vllm",
        "title": "vLLM",
        "run": RUN,
        "who": WHO,
    }
    assert (serve["pids"], serve["ranks"], serve["stage"]) == ([103], 0, None)
    service = document["services"]["vllm"]
    assert (service["state"], service["model"]) == ("ready", "/models/m2")
    assert service["endpoint"] == document["vllm"]["endpoint"]
    assert (service["ray"], service["api"]) == (document["ray"], document["vllm"])


def test_a_container_has_its_row_and_its_image(tmp_path: Path) -> None:
    facts, boxes = started(BOXED), [UNIT.format(name) for name in (ONE, TWO)]
    facts[ONE]["ours"].append(answers.process("container", "sleep infinity", unit=boxes[0]))
    code, document = as_json(tmp_path, Given(facts))
    rows = {unit["id"]: unit for unit in document["units"]}
    assert [(rows[u]["state"], rows[u]["image"]) for u in boxes] == [
        ("ready", REFERENCE),
        ("absent", REFERENCE),
    ]
    assert (code, rows[SERVE]["image"]) == (1, None)
    _, out = status(tmp_path, Given(facts))
    assert f"container on {TWO}: not running" in out


def test_ray_and_the_api_are_asked_where_they_were_started(tmp_path: Path) -> None:
    facts = started()
    record = facts[ONE]["state"]["files"]["applied.json"]
    for now, then in (("192.168.100.11:6379", "192.168.200.11:7777"), (":30000", ":31111")):
        assert now in record
        record = record.replace(now, then)
    facts[ONE]["state"]["files"]["applied.json"] = record
    given = Given(facts)
    _, document = as_json(tmp_path, given)
    asked = {target: (node, request) for node, target, request in given.asked}
    assert asked["raytable.table"][1]["address"] == "192.168.200.11:7777"
    assert asked["completion.ask"][1]["base"] == "http://127.0.0.1:31111"
    assert asked["completion.ask"][0] == ONE
    assert document["vllm"]["endpoint"] == "http://10.77.0.11:31111/v1"


def test_a_dead_rank_makes_its_unit_fail_and_is_named(tmp_path: Path) -> None:
    facts = started()
    without(facts, TWO, "RayWorkerProc")
    code, document = as_json(tmp_path, Given(facts))
    assert (code, document["services"]["vllm"]["state"]) == (1, "failed")
    assert states(document) == {RAY: "ready", SERVE: "failed", WORKER: "ready"}
    _, out = status(tmp_path, Given(facts))
    assert f"vllm: failed: vLLM on {ONE}: its rank on {TWO} died" in out
    assert "serves" not in out


def test_a_rank_on_a_node_that_cannot_be_read_is_not_called_dead(tmp_path: Path) -> None:
    facts = started()
    del facts[TWO]["ours"]
    facts[TWO]["unread"]["ours"] = "TimeoutError: no answer within 6 s"
    code, document = as_json(tmp_path, Given(facts))
    assert code == 1
    assert states(document) == {RAY: "ready", SERVE: "ready", WORKER: "unread"}
    assert document["services"]["vllm"]["state"] == "unread"
    cleared(facts[ONE])
    _, out = status(tmp_path, Given(facts))
    assert re.search(r"^vllm +unread ", out, re.M)
    assert f"vllm: its API is not running; what runs on {TWO} is unknown\n" in out


def test_a_unit_that_ended_is_absent_and_its_service_has_failed(tmp_path: Path) -> None:
    facts = started()
    without(facts, TWO, "ray")
    code, document = as_json(tmp_path, Given(facts))
    assert (code, states(document)[WORKER]) == (1, "absent")
    _, out = status(tmp_path, Given(facts))
    assert f"Ray worker on {TWO}: not running" in out


def test_a_unit_without_a_record_is_missed_where_others_of_its_service_run(tmp_path: Path) -> None:
    facts = started()
    cleared(facts[TWO])
    record = json.loads(facts[ONE]["state"]["files"]["applied.json"])
    # What is left names no other node, as the ranks of a gang do not.
    record["units"][SERVE]["unit"] |= {"needs": [], "members": []}
    facts[ONE]["state"]["files"]["applied.json"] = json.dumps(record)
    code, document = as_json(tmp_path, Given(facts))
    assert (code, document["services"]["vllm"]["state"]) == (1, "failed")
    assert states(document) == {RAY: "ready", SERVE: "ready", WORKER: "absent"}
    _, out = status(tmp_path, Given(facts))
    assert f"vllm: failed: Ray worker on {TWO}: not running" in out
    facts[TWO]["state"]["lease"] = {"who": WHO, "when": "now", "why": "up", "expires_in": 9.0}
    assert WORKER not in states(as_json(tmp_path, Given(facts))[1]), "it may be about to start"


def test_a_node_that_no_up_has_known_yet_is_not_started_and_nothing_has_failed(
    tmp_path: Path,
) -> None:
    facts = started()
    cleared(facts[TWO])
    record = json.loads(facts[ONE]["state"]["files"]["applied.json"])
    del record["nodes"][TWO]
    record["units"][SERVE]["unit"] |= {"needs": [], "members": []}
    facts[ONE]["state"]["files"]["applied.json"] = json.dumps(record)
    code, document = as_json(tmp_path, Given(facts))
    assert (code, document["healthy"], document["services"]["vllm"]["state"]) == (0, True, "ready")
    (added,) = [u for u in document["units"] if u["pending"]]
    assert (added["id"], added["state"]) == (WORKER, "absent")
    _, out = status(tmp_path, Given(facts))
    assert re.search(rf"^{TWO} +absent ", out, re.M)
    assert f"{TWO}: not started; run `sparkctl up`" in out
    assert status(tmp_path, Given(facts), "-o", "name")[1].split() == [*states(document)]


@pytest.mark.parametrize("runs", [True, False])
def test_a_node_whose_record_is_damaged_is_named(tmp_path: Path, runs: bool) -> None:
    facts = started()
    facts[TWO]["state"]["files"]["applied.json"] = "{"
    if not runs:
        cleared(facts[ONE])
    code, document = as_json(tmp_path, Given(facts))
    assert (code, document["healthy"], states(document)[WORKER]) == (1, False, "unread")
    assert document["services"]["vllm"]["state"] == "unread"
    assert document["nodes"][1]["unread"] == {"record": "applied.json is damaged"}
    _, out = status(tmp_path, Given(facts))
    assert f"{TWO}: the record could not be read: applied.json is damaged" in out


def test_a_start_is_said_with_who_when_and_its_stage(tmp_path: Path) -> None:
    facts = started(vllm="starting")
    now = time.time()
    for process in facts[ONE]["ours"]:
        process["since"] = now
    given = Given(facts, LOADING)
    code, document = as_json(tmp_path, given)
    assert (code, document["healthy"]) == (1, False)
    vllm = document["vllm"]
    assert (vllm["code"], vllm["state"], vllm["stage"], vllm["percent"], vllm["who"]) == (
        "starting",
        "starting",
        "loading",
        42,
        WHO,
    )
    assert "completion.ask" not in {target for _, target, _ in given.asked}
    _, out = status(tmp_path, Given(facts, LOADING))
    row = next(line for line in out.splitlines() if line.startswith("vllm "))
    cells = re.split(r"  +", row)
    assert cells[:3] == ["vllm", "starting", "loading the model 42 %"]
    assert cells[-1] == WHO


def test_the_log_of_that_start_is_read_where_it_is_recorded(tmp_path: Path) -> None:
    given = Given(started(vllm="starting"), LOADING)
    as_json(tmp_path, given)
    ((node, request),) = [(n, r) for n, t, r in given.asked if t == "follow.follow"]
    assert node == ONE
    assert request["path"].endswith(f"{RUN}/vllm.log")
    assert (request["pid"], request["all"], request["follow"]) == (103, True, False)


def test_a_start_that_nobody_watched_to_its_end_is_ready(tmp_path: Path) -> None:
    code, document = as_json(tmp_path, Given(started(ray="starting", vllm="starting"), READY))
    assert (code, {*states(document).values()}) == (0, {"ready"})


@pytest.mark.parametrize("exited", [False, True])
def test_a_start_that_failed_has_its_cause(tmp_path: Path, exited: bool) -> None:
    facts = started(vllm="starting")
    code, document = as_json(tmp_path, Given(facts, FAILED, exited=exited))
    assert (code, document["vllm"]["code"]) == (1, "start-failed")
    serve = next(u for u in document["units"] if u["id"] == SERVE)
    assert (serve["state"], serve["cause"]) == ("failed", "no-kv-cache-memory")
    assert "No available memory for the cache blocks" in serve["why"]
    assert serve["why"] == document["vllm"]["error"]
    assert ("exited" in serve["why"]) == exited


def test_ray_that_does_not_answer_yet_is_no_error_of_a_start(tmp_path: Path) -> None:
    facts = started(ray="starting", vllm="starting")
    without(facts, TWO, "ray")
    changed(facts, WORKER, pid=None)
    facts[TWO]["state"]["lease"] = {"who": WHO, "when": "now", "why": "up", "expires_in": 9.0}

    class Silent(Given):
        def give(self, node: str, target: str, request: dict[str, Any]) -> bytes:
            if target.startswith("raytable"):
                return b'{"error": "connection refused"}'
            return super().give(node, target, request)

    _, document = as_json(tmp_path, Silent(facts, LOADING))
    assert states(document)[WORKER] == "starting"
    assert document["ray"] == {"error": "starting", "code": "starting"}
    _, out = status(tmp_path, Silent(facts, LOADING))
    assert "refused" not in out


def test_an_unreadable_log_leaves_the_stage_open(tmp_path: Path) -> None:
    given = Given(started(vllm="starting"))
    given.lines = "[]"
    _, document = as_json(tmp_path, given)
    serve = next(u for u in document["units"] if u["id"] == SERVE)
    assert (serve["state"], serve["stage"]) == ("starting", None)
    assert serve["why"].startswith("its log could not be read: ")


def test_units_of_a_service_that_left_the_inventory_are_named(tmp_path: Path) -> None:
    facts = json.loads(json.dumps(started()).replace("vllm/0/", "chat/0/"))
    _, document = as_json(tmp_path, Given(facts))
    assert {u["service"] for u in document["units"]} == {"chat"}
    assert document["vllm"]["code"] == "not-running"
    _, out = status(tmp_path, Given(facts))
    assert f"service chat still runs on {ONE}, {TWO}, and is no longer in the inventory" in out
    assert document["departed_services"] == [{"name": "chat", "nodes": [ONE, TWO]}]
    for known in facts.values():
        known["ours"] = []
    assert as_json(tmp_path, Given(facts))[1]["departed_services"] == []
    _, out = status(tmp_path, Given(facts))
    assert f"vLLM on {ONE}: absent, of service chat, which is not in the inventory" in out


def test_a_newer_record_ends_status_with_an_error(tmp_path: Path) -> None:
    facts = started()
    files = facts[TWO]["state"]["files"]
    files["applied.json"] = files["applied.json"].replace('"schema": 2', '"schema": 3')
    code, document = as_json(tmp_path, Given(facts))
    assert (code, document["error"]["code"]) == (1, "record-newer")


def test_a_node_that_left_the_inventory_is_named(tmp_path: Path) -> None:
    assert as_json(tmp_path, Given(started()))[1]["departed"] == []
    facts = started()
    files = facts[ONE]["state"]["files"]
    record = json.loads(files["applied.json"])
    record["nodes"]["spark-9"] = {"host": "192.0.2.9", "ssh": {}}
    files["applied.json"] = json.dumps(record)
    code, document = as_json(tmp_path, Given(facts))
    assert (code, document["departed"]) == (0, [{"name": "spark-9", "host": "192.0.2.9"}])
    assert "spark-9 (192.0.2.9) is no longer in the inventory" in status(tmp_path, Given(facts))[1]
