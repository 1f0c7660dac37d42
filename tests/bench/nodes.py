"""Two nodes that are not there: what they answer is made up from captured facts."""

from __future__ import annotations

import copy
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from sparkctl.errors import SparkctlError
from sparkctl.remote.command import Command, Result
from tests.bench import mutate
from tests.unit.doctorview import CAPTURED, INVENTORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

READING = ("status", "doctor", "plan", "env", "fabric", "logs", "validate")
RUN = "20261121-120000"
FABRIC = {"spark-1": "192.168.100.11", "spark-2": "192.168.100.12"}
PROGRAMS = {
    "ray": ("/opt/vllm/bin/raylet --node", "/opt/vllm/bin/gcs_server --log", "ray::RayWorkerProc"),
    "vllm": ("/opt/vllm/bin/python /opt/vllm/bin/vllm serve /models/m2",),
}


def healthy(*, serving: bool) -> dict[str, dict[str, Any]]:
    """Each node's facts, idle as captured or with a cluster that serves."""
    facts: dict[str, dict[str, Any]] = json.loads(CAPTURED.read_text())["facts"]
    for name, known in facts.items() if serving else ():
        known["ours"] = list(_ours(known["time"], head=name == "spark-1"))
        journal = {"ray": "0", "vllm": "0", "ray_run": RUN, "vllm_run": RUN, "when": "today"}
        known["state"] |= {"exists": True, "temp_dir": True}
        known["state"]["files"] = {"applied.json": json.dumps(journal)}
        known["ports"] = [
            {**known["ours"][0], "port": 6379, "user": "root"},
            {"port": 8265, "uid": 1, "user": "", "pid": None, "command": None, "cluster": ""},
        ]
        known["foreign_rays"] = [{"pid": 9, "uid": 1, "command": "/x/raylet", "cluster": ""}]
    return facts


def _ours(now: float, *, head: bool) -> Iterator[dict[str, Any]]:
    for number, (role, command) in enumerate((r, c) for r, all_ in PROGRAMS.items() for c in all_):
        if head or ("gcs" not in command and role == "ray"):
            yield {
                "pid": 100 + number,
                "ppid": 1,
                "started": 5,
                "state": "S",
                "command": command,
                "cluster": "lab",
                "run": RUN,
                "role": role,
                "uid": 0,
                "since": now - 60,
                "environment": {"NCCL_IB_HCA": "=rocep1s0f0,roceP2p1s0f0"},
                "libraries": {"/opt/vllm/libnccl.so.2": "2.28.9"},
                "memlock": -1,
                "capabilities": 0,
                "uverbs": ["uverbs0"],
            }


class Answers:
    """What each function gives on each node; those of the `harmed` nodes are harmed."""

    def __init__(
        self, random: Random, facts: dict[str, dict[str, Any]], harmed: tuple[str, ...]
    ) -> None:
        self._random = random
        self._facts = facts
        self._harmed = harmed
        self._kept: dict[tuple[str, str], bytes] = {}

    def give(self, node: str, target: str, request: dict[str, Any]) -> bytes:
        """The stdout of a call; the same for the same call."""
        good = self._good(node, target, request)
        if node not in self._harmed:
            return json.dumps(good).encode()
        # An answer is harmed when it is the probe's, others now and then.
        if (node, target) not in self._kept:
            harm = target == "probe.probe" or self._random.random() < 0.5
            text = mutate.answer(self._random, good) if harm else json.dumps(good).encode()
            self._kept[node, target] = text
        return self._kept[node, target]

    def failure(self, node: str) -> bytes:
        """What a command that fails says on stderr; empty for one that does not."""
        if node not in self._harmed or self._random.random() > 0.1:
            return b""
        return f"{self._random.choice(mutate.BAD)}no\nsuch thing".encode()

    def _good(self, node: str, target: str, request: dict[str, Any]) -> Any:
        captured = json.loads(CAPTURED.read_text())
        nodes = [
            {"id": n, "address": a, "hostname": n, "alive": True, "gpus": 1}
            for n, a in FABRIC.items()
        ]
        found: dict[str, Any] = {
            "probe.probe": copy.deepcopy(self._facts[node]),
            "peers.peers": captured["peers"][node],
            "verbs.counters": captured["facts"][node]["counters"],
            "imports.imports": {
                m: {"version": "1", "error": None} for m in request.get("modules", ())
            },
            "raytable.table": {
                "nodes": nodes,
                "missing": [],
                "ray": "2.60.0",
                "groups": [
                    {
                        "state": "CREATED",
                        "bundles": {"0": "spark-1", "1": "spark-2"},
                        "gpus": {"0": 1.0, "1": 1.0},
                    }
                ],
            },
            "completion.ask": {
                "version": "0.32",
                "models": ["m2"],
                "text": "a",
                "tokens": 4,
                "seconds": 0.5,
                "health": {
                    "state": "generating",
                    "running": 0,
                    "waiting": 0,
                    "tokens_per_second": 8.0,
                    "still_for": 0.0,
                },
            },
            "nccllines.lines": {
                "lines": [[1, "spark-1:1:1 [0] NCCL INFO Using network IB"]],
                "cut": 0,
                "tail": ["ready"],
                "path": "/root/a.log",
            },
            "files.read": dict.fromkeys(request.get("names", ())),
            "stop.stop": {"stopped": [], "remaining": []},
            "stop.remove": {"removed": ["/root/.sparkctl/lab"]},
            "stop.clear": {"stopped": [], "remaining": [], "removed": ["/root/.sparkctl/lab"]},
            "lease.take": {"holder": None, "unwritten": None, "shared": False},
            "lease.renew": {"held": True, "holder": None},
            "follow.follow": {"text": "a line\n"},
        }
        found["look.look"] = {
            "completion": found["completion.ask"],
            "table": found["raytable.table"],
        }
        return found.get(target, {})


class Node:
    """In place of remote.connection.Connection."""

    INVENTORY: ClassVar[str] = INVENTORY

    def __init__(self, name: str, answers: Answers, changed: list[str]) -> None:
        self.node = name
        self._answers = answers
        self._changed = changed

    def run(self, command: Command) -> Result:
        """The answer; a command that changes the node is written down."""
        stdout = self._stdout(command)
        stderr = self._answers.failure(self.node)
        return Result(self.node, command, 1 if stderr else 0, stdout, stderr, 0.1)

    def waiting(self) -> list[tuple[str, float]]:
        """Nothing is waited for."""
        return []

    @contextmanager
    def stream(self, command: Command, *, timeout: float = 1.0) -> Iterator[Iterator[str | None]]:
        """The answer's lines."""
        text = self._stdout(command).decode(errors="replace")
        yield iter([None, *text.splitlines()])

    def _stdout(self, command: Command) -> bytes:
        load = json.loads(command.stdin)
        target = f"{load['module']}.{load['function']}"
        if command.mutates:
            self._changed.append(target)
        try:
            return self._answers.give(self.node, target, load["request"])
        except KeyError as error:
            raise SparkctlError(f"no answer for {target}", node=self.node) from error

    def close(self) -> None:
        """Nothing to close."""

    def changing(self) -> list[Any]:
        """Nothing goes on."""
        return []
