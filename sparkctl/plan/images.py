"""Which nodes need a service's image, and which one has it; pure."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.errors import PreflightError, SparkctlError, UsageError
from sparkctl.facts.unread import known
from sparkctl.node import containertools
from sparkctl.plan.placed import tool_of
from sparkctl.runtimes import container
from sparkctl.runtimes.container import TOOLS, Tool

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sparkctl.facts.containers import ContainerEngine, Image
    from sparkctl.facts.node import NodeFacts
    from sparkctl.inventory.models import Inventory, View

DIGEST = "@sha256:"  # in a name that says exactly which image


@dataclass(frozen=True)
class Holding:
    """What a container engine of a node has by the image's name; `used`: the service's engine."""

    node: str
    tool: Tool
    image: Image | None
    used: bool = True


@dataclass(frozen=True)
class Wanted:
    """An image that `services` run on `nodes`; `errors` are of nodes where it is not known."""

    name: str
    services: tuple[str, ...]
    nodes: tuple[str, ...]
    holdings: tuple[Holding, ...]
    errors: Mapping[str, SparkctlError]

    def used(self, node: str) -> Holding | None:
        """What the engine has that the service uses on this node; None where that is not known."""
        return next((h for h in self.holdings if h.used and h.node == node), None)


def views(inventory: Inventory, services: Sequence[str]) -> list[View]:
    """Those of these services (of all without one) that have an image; a venv has none.

    Raises UsageError where none has.
    """
    every = [v for v in inventory.views if not services or v.service in services]
    found = [v for v in every if v.runtime.image]
    if not found:
        names = ", ".join(v.service for v in every)
        raise UsageError(
            f"{names} {'has' if len(every) == 1 else 'have'} no image, but a venv",
            hint="runtime.image of the inventory names an image",
            code="no-image",
        )
    return found


def wanted(
    inventory: Inventory,
    services: Sequence[str],
    facts: Mapping[str, NodeFacts],
    errors: Mapping[str, SparkctlError],
) -> list[Wanted]:
    """The images of these services, each once; `errors` are of nodes without facts.

    Raises UsageError as `views` does.
    """
    groups: dict[str, list[View]] = {}
    for view in views(inventory, services):
        groups.setdefault(view.runtime.image or "", []).append(view)
    return [_wanted(name, group, facts, errors) for name, group in groups.items()]


def _wanted(
    name: str,
    group: Sequence[View],
    facts: Mapping[str, NodeFacts],
    errors: Mapping[str, SparkctlError],
) -> Wanted:
    holdings: list[Holding] = []
    failed: dict[str, SparkctlError] = {}
    for view in group:
        names = [n.name for n in view.nodes]
        engines = {n: _engines(facts[n], n, failed) for n in names if n in facts}
        failed |= {n: e for n, e in errors.items() if n in names}
        used = _used(view, {n: facts[n] for n in engines if n not in failed}, engines)
        for node, found in engines.items():
            holdings += [
                Holding(node, TOOLS[tool], engine.image, tool == used)
                for tool, engine in found.items()
                if not engine.problem and tool in TOOLS
            ]
            if used not in found or found[used].problem:
                failed.setdefault(node, _unusable(node, found, used))
    return Wanted(
        name,
        tuple(v.service for v in group),
        tuple(n.name for v in group for n in v.nodes),
        tuple(holdings),
        failed,
    )


def _engines(
    facts: NodeFacts, node: str, failed: dict[str, SparkctlError]
) -> Mapping[str, ContainerEngine]:
    try:
        return known(facts.containers).engines
    except SparkctlError as error:
        error.node = node
        failed[node] = error
        return {}


def _used(
    view: View,
    facts: Mapping[str, NodeFacts],
    engines: Mapping[str, Mapping[str, ContainerEngine]],
) -> str:
    """The engine that `up` would use, or else the one that most nodes can."""
    with suppress(PreflightError):
        return tool_of(view, facts)
    tools = list(dict.fromkeys(tool for found in engines.values() for tool in found))

    def users(tool: str) -> int:
        return sum(tool in found and not found[tool].problem for found in engines.values())

    return max(tools, key=users, default="")


def _unusable(node: str, found: Mapping[str, ContainerEngine], used: str) -> SparkctlError:
    reason = found[used].reason if used in found else "it has no container engine"
    return SparkctlError(
        f"cannot use {used or 'a container engine'}: {reason}",
        node=node,
        hint="`sparkctl doctor` shows what is missing",
        code="engine-unusable",
        data={"tool": used, "problem": found[used].problem if used in found else "absent"},
    )


def source(image: Wanted, node: str | None = None) -> Holding:
    """The engine that the image is copied from: that of `node`, or else of most nodes.

    Raises SparkctlError where none has it, or as many nodes have one image as another.
    """
    if DIGEST in image.name:
        raise SparkctlError(
            f"{image.name} cannot be copied: an image that is loaded has no registry digest",
            hint="name the image by its tag or its Id (sha256:…) in runtime.image, or pull it on"
            " each node",
            code="image-by-digest",
            data={"image": image.name},
        )
    have = [h for h in image.holdings if h.image and node in (None, h.node)]
    have.sort(key=lambda h: not h.used)
    if not have:
        raise _missing(image, node)
    groups = _alike(have)
    groups.sort(key=lambda group: -len({h.node for h in group}))
    sizes = [len({h.node for h in group}) for group in groups]
    if node is None and len(sizes) > 1 and sizes[0] == sizes[1]:
        raise _ambiguous(image, groups)
    return next(h for h in groups[0] if node in (None, h.node))


def _alike(holdings: Iterable[Holding]) -> list[list[Holding]]:
    """The holdings in groups of the same image."""
    groups: list[list[Holding]] = []
    for holding in holdings:
        group = next((g for g in groups if same(g[0], holding)), None)
        if group is None:
            groups.append([holding])
        else:
            group.append(holding)
    return groups


def same(one: Holding, other: Holding) -> bool:
    """Whether both have the image, and it is the same."""
    if one.image is None or other.image is None:
        return False
    return container.same(*(_identity(h.image) for h in (one, other) if h.image))


def _identity(image: Image) -> container.Image:
    return container.Image(image.id, frozenset(image.digests))


def _missing(image: Wanted, node: str | None) -> SparkctlError:
    where = node or next(iter(image.nodes))
    used = image.used(where)
    tool = used.tool if used else TOOLS["docker"]
    pull = f"{tool.name} pull {containertools.reference(tool.name, image.name)}"
    return SparkctlError(
        f"{node} does not have {image.name}" if node else f"no node has {image.name}",
        hint=f"pull it on one node: `ssh {where} {pull}`; then run this command again",
        code="image-missing",
        data={"image": image.name, "node": node, "errors": list(image.errors)},
    )


def _ambiguous(image: Wanted, groups: Sequence[Sequence[Holding]]) -> SparkctlError:
    shown = [f"{', '.join(h.node for h in g)}: {short(g[0])}" for g in groups]
    return SparkctlError(
        f"the nodes have different images of {image.name} ({'; '.join(shown)})",
        hint="--from NODE says whose image is copied",
        code="image-ambiguous",
        data={"image": image.name, "nodes": [h.node for g in groups for h in g]},
    )


def short(holding: Holding) -> str:
    """The image's Id in a few digits."""
    return containertools.short_id(holding.image.id) if holding.image else "-"
