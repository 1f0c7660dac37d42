"""The pair's answers with what `up` records of its units, to be changed by tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sparkctl.engines.inventory import parse
from sparkctl.node.unitjson import document
from sparkctl.plan.desired import desire
from tests.bench.nodes import healthy
from tests.unit.answers import engine, engines, node_facts
from tests.unit.doctorview import INVENTORY

if TYPE_CHECKING:
    from sparkctl.node.units import Unit

ONE, TWO = "spark-1", "spark-2"
RAY, WORKER, SERVE = f"vllm/0/ray/{ONE}", f"vllm/0/ray/{TWO}", f"vllm/0/vllm/{ONE}"
WHO, RUN, ID = "u@laptop (pid 1)", "20261122-020000-abcd", "0123456789abcdef"
Facts = dict[str, dict[str, Any]]


def started(inventory: str = INVENTORY, **phases: str) -> Facts:
    """Each node's facts while the pair serves; `phases` by kind, else ready."""
    facts = healthy(serving=True)
    view = parse(inventory.encode(), "inventory.yaml").views[0]
    if view.runtime.image:
        for answer in facts.values():
            answer["containers"] = engines(docker=engine())
    typed = {name: node_facts(answer, name) for name, answer in facts.items()}
    desired = desire(view, [], typed)
    for name, answer in facts.items():
        units = {u: unit for u, unit in desired.units.items() if unit.node == name}
        for process in answer["ours"]:
            process["unit"] = f"{view.service}/0/{process['role']}/{name}"
        entries = {
            u: {
                **desired.records[u].document(),
                **entry(unit, phase=phases.get(unit.kind, "ready")),
            }
            for u, unit in units.items()
        }
        record = {
            "schema": 2,
            "id": ID,
            "cluster": "lab",
            "by": {"who": WHO, "when": "2026-11-22 02:00:00 +0000"},
            "nodes": {ONE: {"host": "10.77.0.11", "ssh": {}}, TWO: {"host": "10.77.0.12"}},
            "units": entries,
            "older": {},
        }
        answer["state"]["files"] = {"applied.json": json.dumps(record)}
    return facts


def entry(unit: Unit, *, phase: str) -> dict[str, Any]:
    """What a node has of a start besides what the controller sent."""
    pid = 103 if unit.kind == "vllm" else 100
    own = {"run": RUN, "who": WHO, "since": 1000.0, "phase": phase, "pid": pid, "started": 5}
    log = f"/root/.sparkctl/lab/logs/{RUN}/{unit.kind}.log"
    return {**own, "unit": document(unit), "log": log, "boot_id": "b"}


def changed(facts: Facts, unit: str, **values: Any) -> None:
    """Change a unit's entry on its node."""
    node = unit.rpartition("/")[2]
    record = json.loads(facts[node]["state"]["files"]["applied.json"])
    record["units"][unit] |= values
    facts[node]["state"]["files"]["applied.json"] = json.dumps(record)


def without(facts: Facts, node: str, word: str) -> None:
    """End the node's processes with this word in their command line."""
    facts[node]["ours"] = [p for p in facts[node]["ours"] if word not in p["command"]]
