"""The recipe that the model's architecture has chosen, and whether the nodes agree on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.cluster.wish import head_recipe
from sparkctl.doctor.check import Check, per_node
from sparkctl.doctor.finding import Evidence, Finding, info, ok, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.facts.unread import known
from sparkctl.node import modelpath
from sparkctl.serving.recipe import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import View


def recipe(view: View) -> Iterator[Finding]:
    """Which recipe `up` takes and why; of a model on the hub, the same architecture everywhere."""
    head = view.inventory.head.name
    choice = head_recipe(view.inventory, view.facts(head))
    yield (ok if choice.recipe else info)(str(choice), node=head)
    # Of a directory, model.same compares config.json and more.
    if choice.architectures and not modelpath.is_path(view.inventory.vllm.model):
        yield from per_node(view, lambda name: _different(view, name, choice.architectures))


def _different(view: View, name: str, wanted: tuple[str, ...]) -> Iterator[Finding]:
    head, found = view.inventory.head.name, known(view.facts(name).config_json)
    has = found.architectures
    if not has or tuple(has) == wanted:
        return
    expected, got = (printable(", ".join(map(str, names))) for names in (wanted, has))
    yield warn(
        f"{view.inventory.vllm.model} is {got} in this node's hub cache and {expected} in {head}'s",
        Evidence(expected, got, printable(str(found.path))),
        Remedy("download the same revision on every node"),
        node=name,
    )


CHECKS = (Check("model.recipe", "cluster", recipe),)
