"""The recipe chosen by the model's architecture, and whether the nodes have the same one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor import applies
from sparkctl.doctor.check import Check, per_node
from sparkctl.doctor.finding import Evidence, Finding, info, ok, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.engines.vllm.recipe import printable
from sparkctl.facts.unread import known
from sparkctl.node import modelpath

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot


def recipe(snapshot: Snapshot) -> Iterator[Finding]:
    """The recipe of `up`, and why; a model on the hub has the same architecture on all nodes."""
    head = snapshot.inventory.head.name
    choice = snapshot.engine.recipe(snapshot.inventory, snapshot.facts(head))
    if choice.recipe:
        yield ok(str(choice), node=head, data={"recipe": choice.name})
    else:
        yield info(str(choice), node=head, code="no-recipe", data={"unknown": choice.unknown})
    # model.same compares the config.json of a directory.
    if choice.architectures and not modelpath.is_path(snapshot.inventory.vllm.model):
        yield from per_node(snapshot, lambda name: _different(snapshot, name, choice.architectures))


def _different(snapshot: Snapshot, name: str, expected: tuple[str, ...]) -> Iterator[Finding]:
    head, found = snapshot.inventory.head.name, known(snapshot.facts(name).config_json)
    if not found.architectures or found.architectures == expected:
        return
    on_head, here = (printable(", ".join(names)) for names in (expected, found.architectures))
    model = snapshot.inventory.vllm.model
    yield warn(
        f"{model} is {here} in this node's hub cache, but {on_head} in {head}'s",
        Evidence(on_head, here, printable(str(found.path))),
        Remedy("download the same revision on every node"),
        node=name,
        code="other-architecture",
        data={"expected": expected, "got": found.architectures},
    )


CHECKS = (Check("model.recipe", "cluster", recipe, lacks=applies.recipes),)
