"""Where what runs is asked: by its units as they were started, not by what would be chosen now.

The inventory and the fabric may have changed since, and a node that is absent shifts the choice of
the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

from sparkctl.engines.vllm.tls import address, local_base
from sparkctl.errors import SparkctlError
from sparkctl.fabric.cabling import without_prefix
from sparkctl.facts.unread import Missing, Unread, known
from sparkctl.node.unitid import service_of
from sparkctl.node.units import Generates, RayNodes
from sparkctl.plan.fabric import fabric_choices

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.facts.node import NodeFacts
    from sparkctl.inventory.models import View
    from sparkctl.node.units import Unit

T = TypeVar("T", RayNodes, Generates)


class Asked(NamedTuple, Generic[T]):
    """A question, and the node that it is asked on."""

    node: str
    ready: T


def ray(view: View, units: Mapping[str, Unit], facts: Mapping[str, NodeFacts]) -> Asked[RayNodes]:
    """Where a service's Ray is asked, and the addresses of its nodes as far as they are recorded.

    Without a record, as of an older sparkctl, by the inventory: raises SparkctlError where its
    fabric cannot be derived, or the head could not be read.
    """
    if found := _first(view, units, RayNodes):
        return found
    head = view.head.name
    if head not in facts:
        raise Missing("no facts of the head", what="facts", kind="unasked")
    choice = fabric_choices(view, facts)[head]
    if isinstance(choice, SparkctlError):
        raise choice
    python = f"{known(facts[head].runtime).venv}/bin/python"
    return Asked(head, RayNodes(f"{choice.address}:{view.ray.port}", python, {}, 0.0))


def api(view: View, units: Mapping[str, Unit]) -> Asked[Generates]:
    """Where a service's API is asked; without a record by the inventory."""
    if found := _first(view, units, Generates):
        return found
    model = view.vllm.served_model_name or view.vllm.model
    return Asked(view.head.name, Generates(local_base(view.vllm), model))


def outside(base: str, host: str) -> str:
    """The URL of the API at `base`, as another machine reaches it at this host."""
    try:
        found = urlsplit(base)
        return address(host, found.port or 80, secure=found.scheme == "https")
    except ValueError:
        return base


def addresses(
    view: View, units: Mapping[str, Unit], facts: Mapping[str, NodeFacts]
) -> dict[str, list[str]]:
    """The addresses by which each node with facts may be in Ray's table, the likeliest first.

    They are those of the node that all were started with; without a record those of the fabric.
    """
    asked = _first(view, units, RayNodes)
    if asked and (expected := {*asked.ready.nodes}):
        own = {n.name: _own(facts[n.name]) for n in view.nodes if n.name in facts}
        return {name: [a for a in found if a in expected] for name, found in own.items()}
    choices = fabric_choices(view, facts)
    return {
        # While another node is away, the socket may seem to be another half's.
        name: [choice.address, *map(without_prefix, choice.addresses)]
        for name, choice in choices.items()
        if not isinstance(choice, SparkctlError)
    }


def _first(view: View, units: Mapping[str, Unit], kind: type[T]) -> Asked[T] | None:
    for name, unit in units.items():
        if service_of(name) == view.service and any(n.name == unit.node for n in view.nodes):
            for ready in unit.ready:
                if isinstance(ready, kind):
                    return Asked(unit.node, ready)
    return None


def _own(facts: NodeFacts) -> Iterator[str]:
    if not isinstance(facts.net, Unread):
        for net in facts.net.values():
            yield from map(without_prefix, net.ipv4)
