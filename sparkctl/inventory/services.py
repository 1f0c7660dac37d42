"""Rules about services: which nodes each has; pure. See validate.py."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.inventory.models import first_head
from sparkctl.inventory.paths import Path, Problem, dotted, quoted, short

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.inventory.models import Inventory, Node, Service, Vllm

SHORT_PATH = ("vllm",)


class Part(NamedTuple):
    """A service as the file has it; `nodes` is None where not all of them are known."""

    path: Path
    settings: Vllm
    nodes: list[Node] | None


def parts(inventory: Inventory) -> list[Part]:
    """The services, also of an inventory with errors."""
    found = []
    if inventory.vllm is not None:
        found.append(Part(SHORT_PATH, inventory.vllm, inventory.nodes))
    for name, service in (inventory.services or {}).items():
        found.append(Part(("services", name), service, _nodes(inventory, service)))
    return found


def _nodes(inventory: Inventory, service: Service) -> list[Node] | None:
    if "nodes" not in service.model_fields_set:
        return inventory.nodes
    by_name = {n.name: n for n in inventory.nodes or []}
    named = [by_name.get(name) for name in service.nodes or [] if name is not None]
    found = [node for node in named if node is not None]
    return found if service.nodes and len(found) == len(service.nodes) else None


def problems(inventory: Inventory) -> Iterator[Problem]:
    """Services without nodes, with nodes that do not exist, or with one node twice."""
    forms = {"vllm", "services"} & inventory.model_fields_set
    if not forms:
        text = 'missing required key "vllm" or "services"'
        yield Problem(("vllm",), text, code="missing-key")
    elif len(forms) > 1:
        text = "services conflicts with vllm, the short form of one service; write one of the two"
        yield Problem(("services",), text, at_key=True, code="keys-conflict")
    taken: dict[str, Path] = {}
    for name, service in (inventory.services or {}).items():
        path, given = ("services", name), service.model_fields_set
        if given and "nodes" not in given and len(inventory.services) > 1:
            text = 'missing required key "nodes"; only a single service may leave it out'
            yield Problem((*path, "nodes"), text, code="missing-key")
        for index, node in enumerate(service.nodes or []):
            if node is not None:
                yield from _node(inventory, (*path, "nodes", index), node, taken)
    yield from _roles(inventory)


def _node(inventory: Inventory, path: Path, name: str, taken: dict[str, Path]) -> Iterator[Problem]:
    known = [n.name for n in inventory.nodes or []]
    if name not in known:
        if known and None not in known:
            near = difflib.get_close_matches(short(name), known, 1, 0.6)
            hint = f'did you mean "{near[0]}"?' if near else f"known nodes: {', '.join(known)}"
            yield Problem(path, f"unknown node {quoted(name)}; {hint}", code="unknown-node")
    elif name in taken:
        first = taken[name]
        if first[:2] == path[:2]:
            text = f"duplicate node {quoted(name)} (first in {dotted(first)})"
            yield Problem(path, text, code="duplicate-node")
        else:
            text = f"{name} is a node of {dotted(first[:2])} already; a node has one service"
            yield Problem(path, text, code="node-shared")
    taken.setdefault(name, path)


def _roles(inventory: Inventory) -> Iterator[Problem]:
    """Each service has one head, which may be any node without a role."""
    groups = {part.path: part.nodes for part in parts(inventory) if part.path != SHORT_PATH}
    for path, nodes in (groups or {("nodes",): inventory.nodes}).items():
        if nodes and first_head(nodes) is None:
            yield Problem(path, 'each node has role "worker"; one must be the head', code="no-head")
        every = enumerate(inventory.nodes or [])
        heads = [i for i, n in every if n.role == "head" and any(n is m for m in nodes or [])]
        what = dotted(path) if groups else "a cluster"
        for index in heads[1:]:
            text = f"second head (first is nodes[{heads[0]}]); {what} has one"
            yield Problem(("nodes", index, "role"), text, code="second-head")
