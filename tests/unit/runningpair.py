"""The captured pair while it serves over RDMA, to be changed by tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.unit import answers as make
from tests.unit.doctorview import Answers, examined, healthy
from tests.unit.nccllogs import CONNECTED, ON_IB, USING, VIA_IB, pair, read

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding

ONE, TWO = "spark-1", "spark-2"
NCCL = "/opt/vllm/lib/python3.12/site-packages/nvidia/nccl/lib/libnccl.so.2"
IB = pair(USING, *ON_IB, *VIA_IB, CONNECTED)
RANK = {
    "libraries": {NCCL: "2.28.9"},
    "builds": {NCCL: {"id": "c0db9360", "bytes": 190_000_000}},
    "memlock": -1,
    "capabilities": 0,
    "uverbs": ["uverbs0", "uverbs1", "uverbs2", "uverbs3"],
}


def rank(answers: Answers, name: str, role: str, command: str, **values: Any) -> dict[str, Any]:
    """A process with the planned environment, and what a node reports of a rank."""
    environment = dict(answers.snapshot().environment(name))
    own = {"pid": 40, "environment": environment, **RANK, **values}
    return make.process(role, command, **own)


def recorded(answers: Answers, *names: str, **runs: str) -> None:
    """Have these nodes record these runs, such as ray_run="r1"."""
    for name in names:
        state = answers.facts[name]["state"]
        state["exists"] = True
        state["files"]["applied.json"] = json.dumps(runs)


def running(files: dict[str, str] = IB) -> Answers:
    """The pair, serving over RDMA, with this log."""
    answers = healthy()
    for name in answers.names:
        answers.facts[name]["ours"] = [
            rank(answers, name, "ray", "/ray/raylet"),
            rank(answers, name, "ray", "ray::RayWorkerProc"),
        ]
    recorded(answers, ONE, TWO, ray_run="r1", vllm_run="r1")
    answers.facts[ONE]["ours"].append(rank(answers, ONE, "vllm", "vllm serve"))
    before = {n: answers.facts[n]["counters"] for n in answers.names}
    answers.looks |= {
        "ray": {ONE: {"nodes": ray_nodes(*ALIVE), "groups": [], "missing": [], "ray": "2.60"}},
        "log": {ONE: {"verdict": read(files), "path": "vllm.log", "cut": 0, "tail": []}},
        "generation": {
            ONE: {
                "models": ["m"],
                "tokens": 4,
                "seconds": 0.1,
                "before": before,
                "after": {name: _later(found) for name, found in before.items()},
            }
        },
        "api": {ONE: {"url": "http://x:30000/health", "error": None}},
    }
    return answers


def _later(counters: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """The counters after traffic."""
    return {
        hca: {name: value + 5000 * name.startswith("port_") for name, value in found.items()}
        for hca, found in counters.items()
    }


ALIVE = (("192.168.100.11", True, 1.0), ("192.168.100.12", True, 1.0))


def ray_nodes(*nodes: tuple[str, bool, float]) -> list[dict[str, Any]]:
    """Ray's list of these: address, alive, GPUs."""
    return [
        {"id": f"n{number}", "hostname": f"h{number}", "address": a, "alive": alive, "gpus": gpus}
        for number, (a, alive, gpus) in enumerate(nodes)
    ]


def only(answers: Answers, check: str) -> Finding:
    """The one finding of a check that is not well."""
    (finding,) = [f for f in examined(answers, check) if f.severity.value not in ("OK", "INFO")]
    return finding


def found(answers: Answers, check: str) -> tuple[str, str | None, str]:
    """The severity, node and code of that finding."""
    finding = only(answers, check)
    return finding.severity.value, finding.node, finding.code
