"""A healthy pair as the lab's nodes answered, to be changed by tests; nothing in it is made up."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkctl.doctor.runner import evaluate
from sparkctl.doctor.snapshot import View
from sparkctl.doctor.table import CHECKS
from sparkctl.serving.inventory import parse

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding
    from sparkctl.inventory.models import Inventory

CAPTURED = Path(__file__).parents[1] / "fixtures/facts/lab-pair.json"
INVENTORY = """\
cluster: lab
nodes:
  - {name: spark-1, host: 10.77.0.11, role: head}
  - {name: spark-2, host: 10.77.0.12, role: worker}
runtime: {venv: /opt/vllm}
vllm: {model: /models/m2, arguments: {gpu-memory-utilization: 0.2}}
"""


def healthy(inventory: str = INVENTORY) -> View:
    """The pair as captured; every call gives facts of its own."""
    captured: dict[str, Any] = json.loads(CAPTURED.read_text())
    facts = captured["facts"]
    loaded = _parsed(inventory)
    versions = {m: {"version": "1", "error": None} for m in ("torch", "ray", "vllm")}
    return View(
        inventory=loaded,
        nodes=tuple(loaded.nodes),
        layers=[],
        login=dict.fromkeys(facts, 0.1),
        all_facts=facts,
        asked={n: (f["time"] - 0.2, f["time_end"] + 0.2) for n, f in facts.items()},
        sources={
            "peers": captured["peers"],
            "imports": {n: dict(versions) for n in facts},
        },
    )


@cache
def _parsed(inventory: str) -> Inventory:
    return parse(inventory.encode(), "inventory.yaml")


def examined(view: View, *ids: str) -> list[Finding]:
    """The findings of these checks (all when none is named)."""
    return evaluate(view, [c for c in CHECKS if not ids or c.id in ids])


def wrong(view: View) -> set[tuple[str, str | None, str]]:
    """(check, node, severity) of whatever is not well."""
    return {
        (f.check, f.node, f.severity.value)
        for f in examined(view)
        if f.severity.value not in ("OK", "INFO")
    }
