"""Two nodes without and with a running cluster, as their probes describe them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sparkctl.engines.inventory import parse
from sparkctl.node.unitjson import document
from sparkctl.operations import outlook
from sparkctl.plan.desired import Desired, desire
from sparkctl.plan.observed import Seen
from tests.unit.answers import all_facts, device, interface, process
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.inventory.layers import Layer
    from sparkctl.inventory.models import Inventory
    from sparkctl.node.difference import Plan

CLUSTER = parse(GOOD.encode(), "x")
HOSTS = {node.name: node.host for node in CLUSTER.nodes}
HEAD, WORKER, SERVE = "vllm/0/ray/spark-1", "vllm/0/ray/spark-2", "vllm/0/vllm/spark-1"
PAIRS = (
    ("enp1s0f0np0", "rocep1s0f0", "0000:01:00.0"),
    ("enP2p1s0f0np0", "roceP2p1s0f0", "0002:01:00.0"),
)


def facts(number: int, names: tuple[tuple[str, str, str], ...] = PAIRS) -> dict[str, Any]:
    """A healthy node's facts, as the probe gives them."""
    net = {
        netdev: interface(f"192.168.{100 + half}.{10 + number}/24", pci=pci)
        for half, (netdev, _, pci) in enumerate(names)
    }
    runtime = {
        "exists": True,
        "venv": "/opt/v",
        "python": "3.12.3",
        "programs": {"ray": True, "vllm": True},
        "versions": {"ray": "2.60.0", "vllm": "0.33.0"},
    }
    config = {"path": "/models/m/config.json", "error": None, "model_type": None}
    state = {"exists": False, "path": "/home/u/.sparkctl/lab", "temp_dir": False, "lease": None}
    return {
        "home": "/home/u",
        "net": net,
        "ib": {hca: device(netdev, pci) for netdev, hca, pci in names},
        "runtime": runtime,
        "ports": [],
        "ours": [],
        "model_config": {**config, "architectures": ["MiniMaxM2ForCausalLM"]},
        "state": {**state, "files": {"applied.json": None}},
        "unread": {},
    }


def nodes(inventory: Inventory = CLUSTER) -> dict[str, Any]:
    """Facts of each node, where nothing runs."""
    return {n.name: facts(i) for i, n in enumerate(inventory.nodes, 1)}


def desired(
    inventory: Inventory = CLUSTER,
    known: Mapping[str, Any] | None = None,
    layers: Sequence[Layer] = (),
) -> Desired:
    """What the nodes of the only service should run; what they have recorded is compared with."""
    found = all_facts(known if known is not None else nodes(inventory))
    (view,) = inventory.views
    return desire(view, [*layers], found, Seen(inventory, found).records)


def plan(
    inventory: Inventory,
    known: Mapping[str, Any],
    unsound: Mapping[str, str] | None = None,
) -> Plan:
    """What would be done to these nodes."""
    seen = Seen(inventory, all_facts(known))
    return outlook.plan([desired(inventory, known)], seen, unsound)


def entry(made: Desired, unit: str, run: str = "r1", phase: str = "ready") -> dict[str, Any]:
    """What node/state.py keeps of a unit that was started."""
    record = {**made.record(unit).document(), "unit": document(made.units[unit])}
    begun = {"pid": 7, "started": 9, "boot_id": "b", "log": f"/s/{unit}.log", "offset": 0}
    started = {"run": run, "since": 5.0, "phase": phase}
    found: dict[str, Any] = json.loads(json.dumps({**record, **begun, **started}))
    return found


def applied(
    units: Mapping[str, Any],
    *,
    cluster_id: str = "id-1",
    older: Mapping[str, Any] | None = None,
    joined: Sequence[str] = ("spark-1", "spark-2"),
) -> str:
    """The applied.json of a node with these units."""
    value = {
        "schema": 2,
        "id": cluster_id,
        "cluster": "lab",
        "by": {"who": "alice@laptop", "when": "2026-01-02 03:04:05"},
        "nodes": {name: {"host": HOSTS.get(name, name), "ssh": {}} for name in joined},
        "units": dict(units),
        "older": dict(older or {}),
    }
    return json.dumps(value)


PROGRAMS = {HEAD: ("/ray/raylet --x", "/ray/gcs_server --x"), SERVE: ("python /v/vllm serve m",)}


def running(made: Desired, known: dict[str, Any]) -> dict[str, Any]:
    """The same nodes with all its units running, as this sparkctl started them."""
    for name in made.parts:
        units = [u for u in made.units.values() if u.node == name]
        known[name]["ours"] = [
            process(unit.kind, command, unit=unit.id, pid=number)
            for unit in units
            for number, command in enumerate(PROGRAMS.get(unit.id, ("/ray/raylet --x",)), 1)
        ]
        known[name]["state"]["exists"] = True
        written = applied({unit.id: entry(made, unit.id) for unit in units})
        known[name]["state"]["files"]["applied.json"] = written
    return known


def without(known: dict[str, Any], node: str, **values: str) -> dict[str, Any]:
    """The same without the node's processes of this role, or whose command has this word."""
    role, word = values.get("role"), values.get("word", "\n")
    known[node]["ours"] = [
        p for p in known[node]["ours"] if p["role"] != role and word not in p["command"]
    ]
    return known
