"""`status` of nodes that answer in part, or with what is no answer."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from sparkctl.remote import pool
from tests.bench.hostile import run
from tests.bench.nodes import Answers, Node, healthy

if TYPE_CHECKING:
    from pathlib import Path


class Given(Answers):
    """The answers as they are, but for those that a test has by node and function."""

    def __init__(self, changed: dict[tuple[str, str], bytes]) -> None:
        super().__init__(Random(0), healthy(serving=True), harmed=())
        self.changed = changed

    def give(self, node: str, target: str, request: dict[str, Any]) -> bytes:
        return self.changed.get((node, target)) or super().give(node, target, request)


def without(*groups: str) -> bytes:
    """The head's facts with these groups unread."""
    facts = healthy(serving=True)["spark-1"]
    for group in groups:
        del facts[group]
        facts["unread"][group] = "TimeoutError: no answer within 6 s"
    return json.dumps(facts).encode()


def asked(
    tmp_path: Path,
    words: list[str],
    changed: dict[tuple[str, str], bytes],
    text: str = Node.INVENTORY,
) -> tuple[int, str, str]:
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(text)
    given = Given(changed)
    with mock.patch.object(pool, "connect", lambda name, *_, **__: Node(name, given, [])):
        return run([*words, "-i", str(inventory)])


def status(tmp_path: Path, changed: dict[tuple[str, str], bytes]) -> tuple[int, dict[str, Any]]:
    code, out, _ = asked(tmp_path, ["status", "--json"], changed)
    document: dict[str, Any] = json.loads(out)
    return code, document


def test_all_that_is_read_is_healthy(tmp_path: Path) -> None:
    code, document = status(tmp_path, {})
    assert (code, document["healthy"]) == (0, True)
    assert [n["ray"] for n in document["nodes"]] == ["alive", "alive"]
    assert [n["unread"] for n in document["nodes"]] == [{}, {}]


@pytest.mark.parametrize(
    "title", ["ray::RayWorkerProc.run", "ray::RayWorkerWrapper.execute_method", "VLLM::Worker_TP1"]
)
def test_the_ranks_of_every_executor_are_counted(tmp_path: Path, title: str) -> None:
    facts = healthy(serving=True)["spark-2"]
    for process in facts["ours"]:
        process["command"] = process["command"].replace("ray::RayWorkerProc", title)
    changed = {("spark-2", "probe.probe"): json.dumps(facts).encode()}
    _, document = status(tmp_path, changed)
    assert [n["ranks"] for n in document["nodes"]] == [1, 1]


@pytest.mark.parametrize("group", ["ours", "gpu", "memory", "state"])
def test_an_unread_group_leaves_the_rest_of_its_row(tmp_path: Path, group: str) -> None:
    changed = {("spark-1", "probe.probe"): without(group)}
    code, document = status(tmp_path, changed)
    head, worker = document["nodes"]
    assert (code, document["healthy"]) == (1, False)
    assert head["unread"] == {group: "TimeoutError: no answer within 6 s"}
    assert (head["ranks"] is None) == (group == "ours")
    assert (head["gpu"] is None) == (group == "gpu")
    assert (head["memory_available"] is None) == (group == "memory")
    assert head["ray"] == worker["ray"] == "alive"  # Ray's own table says so
    _, out, _ = asked(tmp_path, ["status"], changed)
    assert f"spark-1: {group} could not be read: TimeoutError" in out


def test_a_gpu_that_does_not_answer_is_a_gap_and_not_no_gpu(tmp_path: Path) -> None:
    facts = healthy(serving=True)["spark-1"]
    facts["gpu"] = {"gpus": None, "gpu_error": "nvidia-smi timed out", "gpu_processes": None}
    changed = {("spark-1", "probe.probe"): json.dumps(facts).encode()}
    code, document = status(tmp_path, changed)
    assert (code, document["healthy"]) == (1, False)
    assert document["nodes"][0]["unread"] == {"gpu": "nvidia-smi timed out"}


def test_without_its_processes_and_rays_table_nothing_is_said_not_to_run(tmp_path: Path) -> None:
    changed = {
        ("spark-1", "probe.probe"): without("ours"),
        ("spark-1", "raytable.table"): b"[1,2]",
        ("spark-1", "completion.ask"): b"{}",
    }
    code, document = status(tmp_path, changed)
    assert code == 1
    assert document["nodes"][0]["ray"] == "unknown"
    assert "not running" not in json.dumps(document)
    assert "expected an object" in document["ray"]["error"]
    assert "malformed" in document["vllm"]["error"]


def test_a_workers_unread_fabric_leaves_rays_view_of_the_others(tmp_path: Path) -> None:
    facts = healthy(serving=True)["spark-2"]
    del facts["net"]
    code, document = status(tmp_path, {("spark-2", "probe.probe"): json.dumps(facts).encode()})
    assert code == 1
    assert [n["ray"] for n in document["nodes"]] == ["alive", "started"]
    assert document["nodes"][1]["unread"] == {"net": "missing from the answer"}


def test_a_node_is_alive_at_either_half_while_another_is_unread(tmp_path: Path) -> None:
    both = healthy(serving=True)
    net = both["spark-1"]["net"]
    first, second = net["enp1s0f0np0"], net["enP2p1s0f0np0"]
    # With the worker's facts the socket is the second half, where Ray runs.
    first["ipv4"], second["ipv4"] = second["ipv4"], first["ipv4"]
    del both["spark-2"]["net"]
    answers = {(name, "probe.probe"): json.dumps(facts).encode() for name, facts in both.items()}
    head = status(tmp_path, answers)[1]["nodes"][0]
    assert (head["fabric_address"], head["ray"]) == ("192.168.100.11", "alive")


def test_a_node_that_answers_rubbish_is_unreadable_and_not_unreachable(tmp_path: Path) -> None:
    changed = {("spark-2", "probe.probe"): b"rubbish", ("spark-2", "stop.clear"): b"rubbish"}
    assert [n["reached"] for n in status(tmp_path, changed)[1]["nodes"]] == [True, True]
    _, out, _ = asked(tmp_path, ["status"], changed)
    assert "unreadable" in out
    assert "unreachable" not in out
    code, _, err = asked(tmp_path, ["down"], changed)
    assert code == 1
    assert "error: spark-2: cleanup failed: " in err
    assert "hint: fix what failed, then run `sparkctl down` again" in err


@pytest.mark.parametrize("answer", [b"[1,2]", b"{}", b"[" * 100_000])
@pytest.mark.parametrize(
    ("words", "code"),
    [(["status"], 1), (["plan"], 1), (["env"], 1), (["fabric", "show"], 1), (["down"], 0)],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_hostile_answer_is_no_bug_of_ours(
    tmp_path: Path, words: list[str], code: int, answer: bytes
) -> None:
    """`down` needs no facts: each node finds what is ours there."""
    found, out, err = asked(tmp_path, words, {("spark-2", "probe.probe"): answer})
    assert found == code
    assert "a bug in sparkctl" not in out + err
    if words[0] != "down":
        assert "spark-2" in out + err


def test_what_would_stop_up_has_a_code_in_the_plan(tmp_path: Path) -> None:
    facts = healthy(serving=False)["spark-2"]
    facts["net"]["enp1s0f0np0"]["mtu"] = 1500
    changed = {("spark-2", "probe.probe"): json.dumps(facts).encode()}
    code, out, _ = asked(tmp_path, ["plan", "--json"], changed)
    problems = [p for p in json.loads(out)["problems"] if p["check"] == "fabric.mtu"]
    assert code == 3
    assert {*problems[0]} == {"check", "code", "node", "summary", "data"}
    assert (problems[0]["node"], problems[0]["code"]) == ("spark-2", "mtu-mismatch")
    assert problems[0]["data"]["interface"] == "enp1s0f0np0"


def test_what_is_blocked_has_one_form_in_plan_and_in_a_dry_run(tmp_path: Path) -> None:
    worker = healthy(serving=False)["spark-2"]
    changed = {
        ("spark-1", "probe.probe"): without("ours"),
        ("spark-2", "probe.probe"): json.dumps(worker).encode(),
    }
    words = (["plan", "--json"], ["up", "--dry-run", "--json"])
    (code, plan, _), (_, dry, _) = (asked(tmp_path, w, changed) for w in words)
    plan, dry = json.loads(plan), json.loads(dry)
    assert code == 1, "up would not go on"
    assert [found["code"] for found in plan["refusals"]] == ["unit-unread"]
    assert plan["blocked_changes"] == dry["blocked_changes"] == dry["blocked"] != []
    assert plan["blocked"][0].startswith("blocked by vllm/0/ray/spark-1, which could not be read: ")
    assert plan["left_alone"] == dry["left_alone"] == []


def test_a_dry_run_says_each_change_once(tmp_path: Path) -> None:
    changed = {
        (node, "probe.probe"): json.dumps(facts).encode()
        for node, facts in healthy(serving=False).items()
    }
    _, out, err = asked(tmp_path, ["up", "--dry-run"], changed)
    changes = [line.removeprefix("would ") for line in out.splitlines()]
    assert len(changes) > 2
    assert all(change.startswith("start ") for change in changes)
    assert [change for change in changes if change in err] == []


@pytest.mark.parametrize(
    ("group", "reason"), [("", "bad-answer"), ("net", "unread"), ("state", "unit-unread")]
)
@pytest.mark.parametrize("words", [["plan"], ["up", "--dry-run"]], ids=" ".join)
def test_a_node_that_answers_in_part_blocks_its_own_service_alone(
    tmp_path: Path, words: list[str], group: str, reason: str
) -> None:
    text = Node.INVENTORY.partition("vllm:")[0].replace(", role: worker", "") + "services:\n"
    for service, node in (("chat", "spark-1"), ("code", "spark-2")):
        values = f"model: /models/m2, tensor_parallel_size: 1, nodes: [{node}]"
        text += f"  {service}: {{{values}}}\n"
    both = healthy(serving=False)
    both["spark-2"].pop(group, None)
    changed = {(n, "probe.probe"): json.dumps(facts).encode() for n, facts in both.items()}
    if not group:
        changed["spark-2", "probe.probe"] = b"rubbish"
    code, out, err = asked(tmp_path, [*words, "--json"], changed, text)
    document = json.loads(out)
    (left,) = document["left_alone"]
    assert (code, left["service"], left["node"], left["code"]) == (1, "code", "spark-2", reason)
    assert "error: service code is left alone: spark-2: " in err
    assert left["hint"]
    assert "when spark-2 answers" not in left["hint"], "it did"
    changes = " ".join(map(str, document["changes"]))
    assert ("spark-1" in changes, "spark-2" in changes) == (True, False)
