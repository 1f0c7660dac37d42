"""What must hold between the fields of an inventory; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sparkctl.inventory.models import Inventory
from sparkctl.serving.recipe import FIELDS

Path = tuple[str | int, ...]
Problem = tuple[Path, str]


def check(inventory: Inventory) -> Iterator[Problem]:
    """Each broken rule as (path, wanted and found)."""
    yield from _roles(inventory)
    yield from _unique(inventory)
    yield from _subnets(inventory)
    yield from _ports(inventory)
    yield from _arguments(inventory)
    tp = inventory.vllm.tensor_parallel_size
    gpus = sum(inventory.gpus_of(n) for n in inventory.nodes)
    if tp > gpus:
        yield (
            ("vllm", "tensor_parallel_size"),
            f"wanted at most the {gpus} GPUs that {len(inventory.nodes)} nodes have, found {tp}",
        )


def _roles(inventory: Inventory) -> Iterator[Problem]:
    heads = [i for i, n in enumerate(inventory.nodes) if n.role == "head"]
    if not heads:
        yield ("nodes",), "wanted one node with role head, found none"
    for index in heads[1:]:
        first = inventory.nodes[heads[0]].name
        yield (
            ("nodes", index, "role"),
            f"wanted one head, found a second one ({first} is the first)",
        )


def _unique(inventory: Inventory) -> Iterator[Problem]:
    seen: dict[tuple[str, str], str] = {}
    for index, node in enumerate(inventory.nodes):
        values: list[tuple[str, str, Path]] = [
            ("name", node.name, ("nodes", index, "name")),
            ("host", node.host.lower(), ("nodes", index, "host")),
        ]
        values += [
            ("address", str(a), ("nodes", index, "fabric", "addresses", i))
            for i, a in enumerate(node.fabric.addresses or [])
        ]
        for kind, value, path in values:
            if (kind, value) in seen:
                other = seen[kind, value]
                yield path, f"wanted a {kind} of its own, found {value}, which {other} has too"
            seen.setdefault((kind, value), f"nodes[{index}]")


def _subnets(inventory: Inventory) -> Iterator[Problem]:
    subnets = inventory.fabric.subnets
    if subnets == "auto":
        return
    for index, node in enumerate(inventory.nodes):
        for i, address in enumerate(node.fabric.addresses or []):
            if not any(address in s for s in subnets):
                wanted = ", ".join(str(s) for s in subnets)
                path = ("nodes", index, "fabric", "addresses", i)
                yield path, f"wanted an address in fabric.subnets ({wanted}), found {address}"


def _ports(inventory: Inventory) -> Iterator[Problem]:
    ray = inventory.ray
    ports: list[tuple[tuple[str, str], int | None]] = [
        (("ray", name), getattr(ray, name))
        for name in ("port", "dashboard_port", "node_manager_port", "object_manager_port")
    ]
    ports.append((("vllm", "port"), inventory.vllm.port))
    first: dict[int, str] = {}
    for path, port in ports:
        if port is None:
            continue
        other = first.setdefault(port, ".".join(path))
        if other != ".".join(path):
            yield path, f"wanted a port of its own, found {port}, which {other} has too"
        low, high = ray.min_worker_port or 10002, ray.max_worker_port or 19999
        if low <= port <= high:
            yield path, f"wanted a port outside Ray's worker ports {low} to {high}, found {port}"
    if ray.min_worker_port and ray.max_worker_port and ray.min_worker_port > ray.max_worker_port:
        yield (
            ("ray", "max_worker_port"),
            f"wanted at least min_worker_port, {ray.min_worker_port}, found {ray.max_worker_port}",
        )


def _arguments(inventory: Inventory) -> Iterator[Problem]:
    counts = Counter(name.split(".")[0] for name in inventory.vllm.arguments)
    for name in inventory.vllm.arguments:
        if name in FIELDS:
            yield (
                ("vllm", "arguments", name),
                f"wanted {FIELDS[name]} for this, found it among the arguments",
            )
        if name == "compilation-config" and counts[name] > 1:
            # The dotted group wins and the JSON is lost without a warning (facts/ray-vllm.md 2).
            yield (
                ("vllm", "arguments", name),
                "wanted one mapping, found dotted compilation-config.x arguments beside it",
            )
