"""What counts as a rank: the forms of its title, and that everyone reads the same answer."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.engines.vllm.placement import planned_ranks, rank_count
from sparkctl.node import processes, ranks
from tests.unit import answers as make
from tests.unit.doctorview import examined, wrong
from tests.unit.runningpair import TWO, running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.doctor.finding import Finding

RAY = [
    "ray::RayWorkerProc",
    "ray::RayWorkerProc.run",
    "ray::RayWorkerWrapper",
    "ray::RayWorkerWrapper.execute_method",
]
MP = ["VLLM::Worker", "VLLM::Worker_TP0", "VLLM::Worker_PP1_TP0_EP0", "mine::Worker_TP1"]
SGLANG = ["sglang::scheduler_TP0", "sglang::scheduler_TP1_PP0", "sglang::schedul"]
CUT = ["ray::RayWorkerP", "ray::RayWorkerW", "VLLM::Worker_TP"]  # 15 characters of comm
NONE = [
    "ray::IDLE",
    "ray::DashboardAgent",
    "/opt/vllm/bin/raylet --x=RayWorkerProc",
    "python -c print('VLLM::Worker')",
    "VLLM::EngineCore",
    "VLLM::APIServer_0",
    "VLLM::DPCoordinator",
    "sglang::detokenizer",
    "/opt/sglang/bin/sglang serve --served-model-name sglang::scheduler",
    "/opt/vllm/bin/vllm serve /models/VLLM::Worker",
]
SERVE = ["python", "/opt/vllm/bin/vllm", "serve", "/m"]


def process(pid: int, command: str, ppid: int = 1) -> processes.Process:
    return processes.Process(pid, ppid, pid, "S", command, "lab", "r1", "vllm", 0)


def found(*table: processes.Process, argv: Sequence[str] = ()) -> set[int]:
    return ranks.ranks({p.pid: p for p in table}, lambda _: argv)


@pytest.mark.parametrize("title", [*RAY, *MP, *SGLANG, *CUT])
def test_each_executors_rank_is_one(title: str) -> None:
    assert found(process(7, title)) == {7}
    assert ranks.is_worker(title)


@pytest.mark.parametrize("command", NONE)
def test_what_only_resembles_a_rank_is_none(command: str) -> None:
    assert found(process(7, command)) == set()
    assert not ranks.is_worker(command)


@pytest.mark.parametrize("title", ["ray::RayWorkerWrapper", "VLLM::Worker_TP0"])
def test_what_a_rank_forks_is_none(title: str) -> None:
    assert found(process(7, title), process(8, title, 7), process(9, title, 8)) == {7}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], True),
        (["--distributed-executor-backend", "uni"], True),
        (["--tensor-parallel-size", "1", "--pipeline_parallel_size=1"], True),
        (["-tp", "1"], True),
        (["--distributed-executor-backend", "ray"], False),
        (["--distributed_executor_backend=mp"], False),
        (["--tensor-parallel-size", "2"], False),
        (["-pp=2"], False),
        (["--prefill-context-parallel-size", "2"], False),
    ],
)
@pytest.mark.parametrize("title", ["VLLM::EngineCore", "VLLM::EngineCore_DP1", "VLLM::EngineCor"])
def test_an_engine_is_a_rank_where_it_runs_the_model_itself(
    title: str, arguments: list[str], expected: bool
) -> None:
    engine = process(7, title, 3)
    assert (found(engine, argv=[*SERVE, *arguments]) == {7}) is expected
    assert found(engine, argv=["systemd"]) == set()  # its launcher is gone


def test_an_engine_with_a_worker_below_it_is_none() -> None:
    engine, fork = process(7, "VLLM::EngineCore", 3), process(8, "VLLM::EngineCore", 7)
    assert found(engine, fork, argv=SERVE) == {7}
    assert found(engine, process(9, "VLLM::Worker", 7), argv=SERVE) == {9}


@pytest.mark.parametrize("title", [*RAY, *MP])
def test_a_node_classifies_its_own_processes(title: str) -> None:
    argv = ["bash", "-c", f"exec -a {title} sleep 300"]
    with subprocess.Popen(argv) as child:
        try:
            while processes.arguments(child.pid)[:1] != [title]:
                assert child.poll() is None
            (row,) = [p for p in processes.table() if p.pid == child.pid]
            assert row.rank
            assert row.document()["rank"] is True
        finally:
            child.kill()


def test_an_engine_is_classified_by_the_whole_command_line_of_its_launcher() -> None:
    # Longer than what is shown of a command: the executor is named at its end.
    path = "/models/" + "x" * 500
    engine = "exec -a VLLM::EngineCore sleep 300"
    for options, expected in (("", True), ("--distributed-executor-backend ray", False)):
        script = f"bash -c '{engine}' & echo; wait"
        argv = ["bash", "-c", script, "vllm", "serve", path, *options.split()]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as launcher:
            row = child_of(launcher)
            os.kill(row.pid, signal.SIGKILL)  # which ends its launcher too
            assert row.rank is expected


def child_of(launcher: subprocess.Popen[bytes]) -> processes.Process:
    """The engine, once it has its title."""
    while launcher.poll() is None:
        for row in processes.table():
            if row.ppid == launcher.pid and row.command.startswith("VLLM::EngineCore"):
                return row
    raise AssertionError("the launcher ended")


def test_an_older_answer_is_classified_by_its_titles() -> None:
    known = make.node_facts(
        {"ours": [make.process("ray", t) for t in (*RAY, "VLLM::EngineCore", "/x/raylet")]}
    )
    assert isinstance(known.ours, tuple)
    assert [p.rank for p in known.ours] == [True] * len(RAY) + [False, False]
    known = make.node_facts({"ours": [make.process("vllm", "VLLM::EngineCore", rank=True)]})
    assert isinstance(known.ours, tuple)
    assert known.ours[0].rank


def findings(title: str, check: str, **values: Any) -> list[Finding]:
    """The findings of a serving pair whose ranks have this title, on its worker."""
    answers = running()
    for name in answers.names:
        answers.facts[name]["ours"][1].update(command=title, **values)
    assert wrong(answers) == set()
    return [f for f in examined(answers, check) if f.node == TWO]


FORMS = [*((title, {}) for title in (*RAY, *MP)), ("VLLM::EngineCore", {"rank": True})]


@pytest.mark.parametrize(("title", "values"), FORMS, ids=[title for title, _ in FORMS])
def test_the_checks_count_every_form(title: str, values: dict[str, Any]) -> None:
    (memory,) = findings(title, "host.memory", **values)
    assert memory.code == "vllm-running"
    (complete,) = findings(title, "running.ranks", **values)
    assert complete.severity.value == "OK"
    (verbs,) = findings(title, "running.verbs", **values)
    assert verbs.severity.value == "OK"
    (loaded,) = findings(title, "running.libnccl", **values)
    assert loaded.severity.value == "OK"


def test_what_is_no_rank_is_not_counted_though_its_name_resembles_one() -> None:
    answers = running()
    answers.facts[TWO]["ours"][1]["rank"] = False
    failed = {(f.check, f.code) for f in examined(answers) if f.severity.value == "FAIL"}
    assert ("running.ranks", "ranks-missing") in failed


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, 2),
        ({"pipeline-parallel-size": 2}, 4),
        ({"pipeline-parallel-size": "2", "data-parallel-size": 3}, 12),
        ({"prefill-context-parallel-size": 2}, 4),
        ({"decode-context-parallel-size": 2}, 2),
        ({"data-parallel-size": None}, 2),
    ],
)
def test_the_number_of_planned_ranks(arguments: dict[str, Any], expected: int) -> None:
    inventory = running().inventory
    vllm = inventory.vllm.model_copy(update={"arguments": arguments})
    inventory = inventory.model_copy(update={"vllm": vllm})
    assert rank_count(vllm) == expected
    assert sum(planned_ranks(inventory).values()) == min(expected, 2)
