"""What must hold before anything is started; pure. `doctor` will run these among many more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sparkctl.fabric.choice import FabricChoice
from sparkctl.fabric.select import check_pairing
from sparkctl.inventory.models import Inventory, Node


@dataclass(frozen=True)
class Failure:
    """A check that failed: what was wanted and found where, and the remedy."""

    check: str
    node: str
    summary: str
    hint: str

    def __str__(self) -> str:
        return f"{self.node}: {self.check}: {self.summary}\n    {self.hint}"


def preflight(inventory: Inventory, facts: Mapping[str, Mapping[str, Any]]) -> list[Failure]:
    """Every reason why a start would fail, over all nodes."""
    failures: list[Failure] = []
    for node in inventory.nodes:
        found = facts[node.name]
        failures += [*_runtime(node, found), *_model(node, found), *_ports(inventory, node, found)]
    return failures + list(_versions(inventory, facts))


def pairing(choices: Mapping[str, FabricChoice]) -> list[Failure]:
    """Nodes whose chosen halves cannot talk to each other's."""
    return [
        Failure(
            "fabric.pairing",
            node,
            problem,
            "give each half of the cable a subnet of its own, the same on every node, or name"
            " that node's fabric.interfaces",
        )
        for node, problem in check_pairing(choices)
    ]


def _runtime(node: Node, facts: Mapping[str, Any]) -> Iterator[Failure]:
    runtime = facts["runtime"]
    remedy = (
        f"make it on {node.name} with `python3 -m venv {runtime['venv']}` and"
        f" `{runtime['venv']}/bin/pip install 'dgx-sparkctl[node]'`, or set runtime.venv"
    )
    if not runtime["exists"]:
        yield Failure(
            "runtime.present", node.name, f"no virtual environment at {runtime['venv']}", remedy
        )
        return
    needed = ("ray", "vllm") if node.role == "head" else ("ray",)
    for program in needed:
        if not runtime["programs"][program]:
            yield Failure(
                "runtime.present", node.name, f"no {program} in {runtime['venv']}/bin", remedy
            )


def _model(node: Node, facts: Mapping[str, Any]) -> Iterator[Failure]:
    model = facts["model"]
    if not model["is_path"]:
        return
    remedy = f"copy the checkpoint to {model['path']} on {node.name}, or set vllm.model"
    if not model["exists"]:
        yield Failure("model.present", node.name, f"no directory {model['path']}", remedy)
    elif not model["config"]:
        yield Failure("model.present", node.name, f"no config.json in {model['path']}", remedy)
    elif not model["shards"]:
        yield Failure("model.present", node.name, f"no *.safetensors in {model['path']}", remedy)


def _ports(inventory: Inventory, node: Node, facts: Mapping[str, Any]) -> Iterator[Failure]:
    ray = inventory.ray
    names = {ray.node_manager_port: "ray.node_manager_port"}
    names[ray.object_manager_port] = "ray.object_manager_port"
    if node.role == "head":
        names[ray.port] = "ray.port"
        names[ray.dashboard_port] = "ray.dashboard_port"
        names[inventory.vllm.port] = "vllm.port"
    for owner in facts["ports"]:
        if owner["port"] not in names or owner["cluster"] == inventory.cluster:
            continue
        who = (
            f"pid {owner['pid']} (uid {owner['uid']}): {owner['command'][:120]}"
            if owner["pid"]
            else "a process of another user"
        )
        yield Failure(
            "ports.free",
            node.name,
            f"port {owner['port']} ({names[owner['port']]}) is taken by {who}",
            f"end that process if it is not needed, or set {names[owner['port']]} to a free port",
        )


def _versions(inventory: Inventory, facts: Mapping[str, Mapping[str, Any]]) -> Iterator[Failure]:
    """Ray and Python must agree to the patch level (facts/ray-vllm.md section 4)."""
    head = inventory.head
    wanted = facts[head.name]["runtime"]
    for node in inventory.workers:
        found = facts[node.name]["runtime"]
        if not found["exists"] or not wanted["exists"]:
            continue
        for what, want, have in (
            ("Python", wanted["python"], found["python"]),
            ("ray", wanted["versions"].get("ray"), found["versions"].get("ray")),
            ("vllm", wanted["versions"].get("vllm"), found["versions"].get("vllm")),
        ):
            if want != have:
                yield Failure(
                    "runtime.versions",
                    node.name,
                    f"{what} is {have or 'absent'}, the head {head.name} has {want or 'none'}",
                    f"install the same {what} in {found['venv']} on both nodes",
                )
