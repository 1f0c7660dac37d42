"""What must hold between the fields of an inventory; pure.

The inventory may be one of which only a part is valid (known.py): there a field that is not known
is None, and no rule speaks of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.inventory.layers import unknown_references
from sparkctl.inventory.paths import Path, Problem, short
from sparkctl.node import modelpath
from sparkctl.secret.value import protected_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.inventory.models import Inventory, Node

# Ray's own (Ray 2.60, read and run); the first is its client server's.
RAY_CLIENT_PORT = 10001
WORKER_PORTS = (10002, 19999)
# As huggingface_hub's validate_repo_id has it: one `/` at most, and no part begins with a dot. For
# GGUF vLLM takes a quantization after a colon.
HUB_NAME = re.compile(r"(?:[A-Za-z0-9_][\w.-]*/)?[A-Za-z0-9_][\w.-]*(?::[\w.-]+)?", re.ASCII)


def check(inventory: Inventory) -> Iterator[Problem]:
    """Each broken rule, as wanted and found."""
    yield from _roles(inventory)
    yield from _unique(inventory)
    yield from _subnets(inventory)
    yield from _ports(inventory)
    yield from _gpus(inventory)
    yield from _model(inventory)
    yield from _references(("env", "set"), inventory.env.set)
    for index, node in enumerate(inventory.nodes or []):
        yield from _references(("nodes", index, "env"), node.env)


def _roles(inventory: Inventory) -> Iterator[Problem]:
    roles = [n.role for n in inventory.nodes or []]
    heads = [i for i, role in enumerate(roles) if role == "head"]
    if roles and not heads and None not in roles:
        yield Problem(("nodes",), "wanted one node with role head, found none")
    for index in heads[1:]:
        said = f"wanted one head, found another beside nodes[{heads[0]}]"
        yield Problem(("nodes", index, "role"), said)


def _unique(inventory: Inventory) -> Iterator[Problem]:
    first: dict[tuple[str, str], int] = {}
    for index, node in enumerate(inventory.nodes or []):
        values: list[tuple[str, str | None, Path]] = [
            ("name", node.name, ("nodes", index, "name")),
            ("host", _where(inventory, node), ("nodes", index, "host")),
        ]
        values += [
            ("fabric address", str(a) if a else None, ("nodes", index, "fabric", "addresses", i))
            for i, a in enumerate(node.fabric.addresses or [])
        ]
        for kind, value, path in values:
            if value is None:
                continue
            if (kind, value) in first:
                other = f"nodes[{first[kind, value]}]"
                yield Problem(path, f"wanted a {kind} used once, found {value}, as in {other}")
            first.setdefault((kind, value), index)


def _where(inventory: Inventory, node: Node) -> str | None:
    """What SSH is given: the host, and the port where the inventory has one, else it is that of
    ~/.ssh/config; None where either is not known.
    """
    host = node.host and node.host.lower()
    for ssh in (node.ssh, inventory.ssh):
        if ssh is not None and "port" in ssh.model_fields_set:
            return f"{host} port {ssh.port}" if host and ssh.port else None
    return host


def _subnets(inventory: Inventory) -> Iterator[Problem]:
    subnets = inventory.fabric.subnets
    if subnets is None or subnets == "auto" or None in subnets:
        return
    wanted = ", ".join(str(s) for s in subnets)
    for index, node in enumerate(inventory.nodes or []):
        for i, address in enumerate(node.fabric.addresses or []):
            if address is not None and not any(address in s for s in subnets):
                path = ("nodes", index, "fabric", "addresses", i)
                said = f"wanted an address in fabric.subnets ({wanted}), found {address}"
                yield Problem(path, said)


def worker_range(inventory: Inventory) -> tuple[int, int]:
    """The first and the last port that Ray's workers may bind."""
    ray = inventory.ray
    return ray.min_worker_port or WORKER_PORTS[0], ray.max_worker_port or WORKER_PORTS[1]


def _ports(inventory: Inventory) -> Iterator[Problem]:
    """No two of these meet on the head, where all of them are bound."""
    ray = inventory.ray
    low, high = worker_range(inventory)
    if low > high:
        name = "max_worker_port" if ray.max_worker_port else "min_worker_port"
        said = f"wanted min_worker_port at most max_worker_port, found {low} and {high}"
        yield Problem(("ray", name), said)
    names = ("port", "dashboard_port", "node_manager_port", "object_manager_port")
    ports = [(("ray", name), getattr(ray, name), name in ray.model_fields_set) for name in names]
    vllm = inventory.vllm
    ports.append((("vllm", "port"), vllm.port, "port" in vllm.model_fields_set))
    first = {RAY_CLIENT_PORT: "Ray's client server"}
    # Of two that meet, the one that stands in the file is told, not a default.
    for path, port, _ in sorted(ports, key=lambda p: p[2]):
        if port is None:
            continue
        if port in first:
            said = f"wanted a port of its own, found {port}, which {first[port]} has"
            yield Problem(path, said)
        if low <= port <= high:
            said = f"wanted a port outside Ray's worker ports ({low} to {high}), found {port}"
            yield Problem(path, said)
        first.setdefault(port, ".".join(path))


def _gpus(inventory: Inventory) -> Iterator[Problem]:
    wanted = inventory.vllm.tensor_parallel_size
    if wanted is None or inventory.ray.num_gpus is None or not inventory.nodes:
        return
    gpus = sum(inventory.gpus_of(n) for n in inventory.nodes)
    if wanted > gpus:
        have = f"the GPUs of the nodes ({gpus} on {len(inventory.nodes)})"
        said = f"wanted at most {have}, found {wanted}"
        yield Problem(("vllm", "tensor_parallel_size"), said)


def _model(inventory: Inventory) -> Iterator[Problem]:
    model = inventory.vllm.model
    # A relative path would start at another directory for each program that reads it.
    if model and not (modelpath.is_path(model) or "://" in model or HUB_NAME.fullmatch(model)):
        expected = "an absolute path, ~/… or a name on the hub"
        yield Problem(("vllm", "model"), f"expected {expected}, got {short(repr(model))}")


def _references(path: Path, values: Mapping[str, str] | None) -> Iterator[Problem]:
    for name, value in (values or {}).items():
        for said in unknown_references(protected_text(value, name)):
            yield Problem((*path, name), said)
