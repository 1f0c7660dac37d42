"""The names that complete on the command line: of nodes, services, units, checks and faults.

They are read from files; no node is contacted.
"""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.inventory.models import Inventory

    # Each name with what it is, for shells that show it.
    Source = Callable[[click.Context], dict[str, str]]

WORD = re.compile("[A-Z]+")


class Names(click.types.StringParamType):
    """Text that completes to the names of these sources."""

    def __init__(self, sources: list[Source]) -> None:
        self._sources = sources

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that begin so, without those that the line has."""
        given = ctx.params.get(param.name or "") or ()
        found: dict[str, str] = {}
        for source in self._sources:
            found |= source(ctx)
        return [
            CompletionItem(name, help=" ".join(text.split()))
            for name, text in found.items()
            if name.startswith(incomplete) and name not in given
        ]


def complete_names(command: click.Command, sources: dict[str, Source] | None = None) -> None:
    """Complete the parameters of a command, or of a group's commands, by their metavars, such as
    NODE or UNIT: what --help calls them.
    """
    of_lab = command.name == "lab"
    sources = sources or {**COMMON, **(LAB if of_lab else {})}
    if isinstance(command, click.Group):
        for each in command.commands.values():
            own = {**sources, "FAULT": _active} if of_lab and each.name == "heal" else sources
            complete_names(each, own)
    for param in command.params:
        argument = isinstance(param, click.Argument)
        shown = param.metavar or (param.human_readable_name if argument else "")
        if found := [sources[kind] for kind in WORD.findall(shown) if kind in sources]:
            param.type = Names(found)


def _inventory(ctx: click.Context) -> Inventory:
    """The inventory that the line names; raises SparkctlError."""
    from sparkctl.engines.inventory import load

    path = ctx.params["inventory"]
    if not path.is_file():  # a pipe would keep the shell waiting
        raise FileNotFoundError(path)
    return load(path)


def _nodes(ctx: click.Context) -> dict[str, str]:
    return {
        node.name: f"{node.role or 'no service'}, {node.host}" for node in _inventory(ctx).nodes
    }


def _services(ctx: click.Context) -> dict[str, str]:
    return {view.service: f"service, {view.vllm.model}" for view in _inventory(ctx).views}


def _units(ctx: click.Context) -> dict[str, str]:
    """What `logs` takes: kinds, services, ids."""
    from sparkctl.plan.outline import outline

    views = _inventory(ctx).views
    units = {key: unit for view in views for key, unit in outline(view).items()}
    titles: dict[str, list[str]] = {}
    for unit in units.values():
        titles.setdefault(unit.kind, []).append(unit.title)
    kinds = {kind: f"kind, {_in_common(each) or kind}" for kind, each in titles.items()}
    services = {view.service: "service, its engine" for view in views}
    return {**services, **kinds, **{key: unit.title for key, unit in units.items()}}


def _in_common(titles: list[str]) -> str:
    """The first words of all of them, such as Ray of `Ray head` and `Ray worker`."""
    columns = zip(*(title.split() for title in titles), strict=False)
    return " ".join(words[0] for words in takewhile(lambda w: len({*w}) == 1, columns))


def _checks(_: click.Context) -> dict[str, str]:
    """The checks' ids and families; their table would import every check."""
    from sparkctl.doctor.explain import entries

    found = {name: entry.what for name, entry in entries().items()}
    families = dict.fromkeys((name.partition(".")[0] for name in found), "a family of checks")
    return {**families, **found}


def _faults(_: click.Context) -> dict[str, str]:
    from sparkctl.lab.faults.table import FAULTS

    return {fault.name: fault.happens for fault in FAULTS.values()}


def _active(ctx: click.Context) -> dict[str, str]:
    from sparkctl.lab.faults import journal

    return {active.fault: f"on {active.node}" for active in journal.read(ctx.params["folder"])}


def _lab_nodes(ctx: click.Context) -> dict[str, str]:
    from sparkctl.lab import existing

    lab = existing.find(ctx.params["folder"])
    return {node.name: node.address for node in lab.nodes} if lab else {}


COMMON: dict[str, Source] = {
    "NODE": _nodes,
    "SERVICE": _services,
    "UNIT": _units,
    "ID": _checks,
}
LAB: dict[str, Source] = {"NODE": _lab_nodes, "FAULT": _faults}
