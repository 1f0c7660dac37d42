"""A healthy pair as the lab's nodes answered, to be changed by tests; nothing in it is made up.

A test changes the answers as JSON; what the checks see went through the decoder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkctl.doctor.looks import Api, EngineLog, Generation, Looks
from sparkctl.doctor.runner import evaluate
from sparkctl.doctor.snapshot import Snapshot
from sparkctl.doctor.table import CHECKS
from sparkctl.engines.inventory import parse
from sparkctl.facts.calls import BOX_LOOK, COMPLETION, COUNTERS, IMPORTS, PEERS, RAY_TABLE
from sparkctl.operations.starting import Startup
from tests.unit.answers import all_facts, decoded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.doctor.finding import Finding
    from sparkctl.errors import SparkctlError
    from sparkctl.inventory.layers import Layer
    from sparkctl.inventory.models import Inventory, Node

CAPTURED = Path(__file__).parents[1] / "fixtures/facts/lab-pair.json"
INVENTORY = """\
cluster: lab
nodes:
  - {name: spark-1, host: 10.77.0.11, role: head}
  - {name: spark-2, host: 10.77.0.12, role: worker}
runtime: {venv: /opt/vllm}
vllm: {model: /models/m2, arguments: {gpu-memory-utilization: 0.2}}
"""


@dataclass
class Answers:
    """What a cluster's nodes answered, as JSON, and how they were reached."""

    inventory: Inventory
    nodes: tuple[Node, ...]
    facts: dict[str, dict[str, Any]]
    looks: dict[str, dict[str, Any]] = field(default_factory=dict)  # by source and node
    layers: list[Layer] = field(default_factory=list)
    login: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, SparkctlError] = field(default_factory=dict)
    unreadable: Mapping[str, SparkctlError] = field(default_factory=dict)
    asked: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    passive: bool = False

    @property
    def names(self) -> list[str]:
        return [n.name for n in self.nodes]

    def snapshot(self) -> Snapshot:
        """What the checks see of them."""
        return Snapshot(
            inventory=self.inventory,
            nodes=self.nodes,
            layers=self.layers,
            login=self.login,
            errors=self.errors,
            unreadable=self.unreadable,
            all_facts=all_facts(self.facts),
            asked=self.asked,
            looks=Looks(
                peers=self._each("peers", lambda a: decoded(PEERS, a)),
                inside=self._each("inside", lambda a: decoded(BOX_LOOK, a)),
                imports=self._each("imports", lambda a: decoded(IMPORTS, a)),
                ray=self._each("ray", lambda a: decoded(RAY_TABLE, a)),
                log=self._each("log", lambda a: EngineLog(**{**a, "tail": tuple(a["tail"])})),
                generation=self._each("generation", generation),
                api=self._each("api", lambda a: Api(**a)),
                start=self._each("start", lambda a: Startup(**a)),
            ),
            passive=self.passive,
        )

    def _each(self, source: str, make: Any) -> dict[str, Any]:
        return {name: make(answer) for name, answer in self.looks.get(source, {}).items()}


def generation(answer: dict[str, Any]) -> Generation:
    """A completion's answer, with the counters `before` and `after` it by node."""
    completion = decoded(COMPLETION, {"health": {"state": "generating"}, **answer})
    assert completion.health
    before, after = (
        {name: decoded(COUNTERS, counters) for name, counters in answer[when].items()}
        for when in ("before", "after")
    )
    return Generation(completion, completion.health, before, after)


def captured() -> dict[str, Any]:
    """The lab's pair: `facts` and `peers` by node; every call gives answers of its own."""
    document: dict[str, Any] = json.loads(CAPTURED.read_text())
    return document


def healthy(inventory: str = INVENTORY) -> Answers:
    """The pair as captured; every call gives answers of its own."""
    document = captured()
    facts = document["facts"]
    loaded = _parsed(inventory)
    modules = ("torch", "ray", "vllm")
    imports = {n: {m: {"version": "1", "error": None} for m in modules} for n in facts}
    return Answers(
        inventory=loaded,
        nodes=tuple(loaded.nodes),
        facts=facts,
        looks={"peers": document["peers"], "imports": imports},
        login=dict.fromkeys(facts, 0.1),
        asked={n: (f["time"] - 0.2, f["time_end"] + 0.2) for n, f in facts.items()},
    )


@cache
def _parsed(inventory: str) -> Inventory:
    return parse(inventory.encode(), "inventory.yaml")


def examined(answers: Answers | Snapshot, *ids: str) -> list[Finding]:
    """The findings of these checks (all when none is named)."""
    snapshot = answers if isinstance(answers, Snapshot) else answers.snapshot()
    return evaluate(snapshot, [c for c in CHECKS if not ids or c.id in ids])


def wrong(answers: Answers | Snapshot) -> set[tuple[str, str | None, str]]:
    """(check, node, severity) of whatever is not well."""
    return {
        (f.check, f.node, f.severity.value)
        for f in examined(answers)
        if f.severity.value not in ("OK", "INFO")
    }
