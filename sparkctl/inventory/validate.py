"""What must hold between the fields of an inventory; pure.

The inventory may be the valid part of one with errors (partial.py): a field that is not valid is
None there, and no rule reports it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.inventory import services
from sparkctl.inventory.layers import unknown_references
from sparkctl.inventory.paths import Path, Problem, dotted, quoted
from sparkctl.node import modelpath
from sparkctl.secret.value import protected_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from ipaddress import IPv4Address

    from sparkctl.inventory.models import Inventory, Node
    from sparkctl.inventory.services import Part

# Ray's own (Ray 2.60, read and run); the first is its client server's.
RAY_CLIENT_PORT = 10001
WORKER_PORTS = (10002, 19999)
# As huggingface_hub's validate_repo_id has it: one `/` at most, and no part begins with a dot. For
# GGUF vLLM takes a quantization after a colon.
HUB_NAME = re.compile(r"(?:[A-Za-z0-9_][\w.-]*/)?[A-Za-z0-9_][\w.-]*(?::[\w.-]+)?", re.ASCII)


def check(inventory: Inventory) -> Iterator[Problem]:
    """A problem for each broken rule."""
    yield from services.problems(inventory)
    yield from _unique(inventory)
    yield from _subnets(inventory)
    yield from _worker_range(inventory)
    for part in services.parts(inventory):
        yield from _ports(inventory, part)
        yield from _gpus(inventory, part)
        yield from _model(part)
    yield from _references(("env", "set"), inventory.env.set)
    for index, node in enumerate(inventory.nodes or []):
        yield from _references(("nodes", index, "env"), node.env)


def _unique(inventory: Inventory) -> Iterator[Problem]:
    first: dict[tuple[str, str], int] = {}
    for index, node in enumerate(inventory.nodes or []):
        values: list[tuple[str, str | None, Path]] = [
            ("name", node.name, ("nodes", index, "name")),
            ("host", _host_and_port(inventory, node), ("nodes", index, "host")),
        ]
        values += [("address", str(a), path) for a, path in _addresses(index, node)]
        for kind, value, path in values:
            if value is None:
                continue
            if (kind, value) in first:
                text = f'duplicate {kind} "{value}" (first in nodes[{first[kind, value]}])'
                yield Problem(path, text, code=f"duplicate-{kind}")
            first.setdefault((kind, value), index)


def _addresses(index: int, node: Node) -> Iterator[tuple[IPv4Address, Path]]:
    """The valid fabric addresses that a node has in the inventory."""
    for i, address in enumerate(node.fabric.addresses or []):
        if address is not None:
            yield address, ("nodes", index, "fabric", "addresses", i)


def _host_and_port(inventory: Inventory, node: Node) -> str | None:
    """The host, with its port if the inventory sets one (else ~/.ssh/config may set it); None if
    either is not valid.
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
    allowed = ", ".join(str(s) for s in subnets)
    for index, node in enumerate(inventory.nodes or []):
        for address, path in _addresses(index, node):
            if not any(address in s for s in subnets):
                text = f"address {address} is not in fabric.subnets ({allowed})"
                yield Problem(path, text, code="outside-subnets")


def worker_range(inventory: Inventory) -> tuple[int, int]:
    """The first and the last port that Ray's workers may bind."""
    ray = inventory.ray
    return ray.min_worker_port or WORKER_PORTS[0], ray.max_worker_port or WORKER_PORTS[1]


def _worker_range(inventory: Inventory) -> Iterator[Problem]:
    low, high = worker_range(inventory)
    if low > high:
        name = "max_worker_port" if inventory.ray.max_worker_port else "min_worker_port"
        text = f"min_worker_port {low} is greater than max_worker_port {high}"
        yield Problem(("ray", name), text, code="empty-port-range")


def _ports(inventory: Inventory, part: Part) -> Iterator[Problem]:
    """All of these are bound on the service's head, so no two may be the same."""
    ray = inventory.ray
    low, high = worker_range(inventory)
    ports: dict[Path, int | None] = {
        ("ray", "port"): ray.port,
        ("ray", "dashboard_port"): ray.dashboard_port,
        ("ray", "node_manager_port"): ray.node_manager_port,
        ("ray", "object_manager_port"): ray.object_manager_port,
        (*part.path, "port"): part.settings.port,
    }
    in_file: set[Path] = {("ray", name) for name in ray.model_fields_set}
    in_file |= {(*part.path, name) for name in part.settings.model_fields_set}
    first = {RAY_CLIENT_PORT: "Ray's client server"}
    # Of two that are the same, the one in the file is reported, not a default.
    for path in sorted(ports, key=lambda path: path in in_file):
        port = ports[path]
        if port is None:
            continue
        if port in first:
            yield Problem(path, f"port {port} is taken by {first[port]}", code="port-taken")
        if low <= port <= high:
            text = f"port {port} is one of Ray's worker ports ({low} to {high})"
            yield Problem(path, text, code="worker-port")
        first.setdefault(port, dotted(path))


def _gpus(inventory: Inventory, part: Part) -> Iterator[Problem]:
    ranks = part.settings.tensor_parallel_size
    if ranks is None or inventory.ray.num_gpus is None or not part.nodes:
        return
    gpus = sum(inventory.gpus_of(n) for n in part.nodes)
    if ranks > gpus:
        whose = "in the cluster" if part.nodes is inventory.nodes else "of its nodes"
        given = "tensor_parallel_size" in part.settings.model_fields_set
        got = f"{ranks}" if given else f"{ranks} (the default)"
        text = f"expected at most {gpus}, the number of GPUs {whose}, got {got}"
        yield Problem((*part.path, "tensor_parallel_size"), text, code="too-few-gpus")


def _model(part: Part) -> Iterator[Problem]:
    model = part.settings.model
    # A relative path would start at another directory for each program that reads it.
    if model and not (modelpath.is_path(model) or "://" in model or HUB_NAME.fullmatch(model)):
        text = f"expected an absolute path, ~/… or a name on the hub, got {quoted(model)}"
        yield Problem((*part.path, "model"), text, code="bad-model")


def _references(path: Path, values: Mapping[str, str] | None) -> Iterator[Problem]:
    for name, value in (values or {}).items():
        for text in unknown_references(protected_text(value, name)):
            yield Problem((*path, name), text, code="unknown-reference")
