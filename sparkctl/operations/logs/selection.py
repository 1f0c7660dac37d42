"""`logs`: which units' logs are meant."""

from __future__ import annotations

import shlex
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.engines.table import engine_of
from sparkctl.errors import SparkctlError, UsageError
from sparkctl.node.unitid import kind_of, node_of, service_of
from sparkctl.operations.logs.kept import newest
from sparkctl.plan.outline import outline
from sparkctl.text import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.engines.engine import Engine
    from sparkctl.inventory.models import Inventory, Node, View


ELSEWHERE = "unit-elsewhere"  # the code of the error for a unit that another node has


class Log(NamedTuple):
    """The log of a unit: by its id, or by a kind where a node has no service."""

    node: Node
    unit: str

    @property
    def kind(self) -> str:
        """The unit's kind, such as `ray`."""
        return kind_of(self.unit)


class Unknown(NamedTuple):
    """A name that the inventory does not have, on a node if one is named: `error` is raised where
    the nodes' records do not have it either.
    """

    what: str
    node: str | None
    error: UsageError


def select(inventory: Inventory, names: Sequence[str]) -> list[Log | Unknown]:
    """The logs of these names, in their order: of units (an id, a service's name for its engine's,
    a kind) and of nodes, to which they are restricted.

    Without names, the engine's of each service, on its head; of nodes alone, what `_of_node` gives.
    A pair of a unit and a node that `up` does not start is left out where each of them has another.
    A name of both is the unit's, and after a unit the node's. Raises UsageError for what neither
    the inventory nor a record can have.
    """
    units, nodes = _sorted(inventory, names)
    if not units and nodes:
        return [_of_node(inventory, inventory.node(name)) for name in nodes]
    pairs = [(what, node) for what in units or (None,) for node in nodes or (None,)]
    found = {pair: _of(inventory, *pair) for pair in pairs}
    known_units = {*known(inventory)}
    started = {
        pair
        for pair, logs in found.items()
        if any(isinstance(log, Log) and log.unit in known_units for log in logs)
    }
    has, had = {what for what, _ in started}, {node for _, node in started}
    left = [
        log
        for (what, node), logs in found.items()
        if (what, node) in started or not (what in has and node in had)
        for log in logs
    ]
    for log in left:  # an id says where its unit runs: no record says otherwise
        if isinstance(log, Unknown) and "/" in log.what and log.error.code == ELSEWHERE:
            raise log.error
    return left


def chosen(inventory: Inventory, what: str | None, node: str | None) -> list[Log]:
    """The logs of `what`: a unit's id, a service's name for its engine's, or a kind; on `node`.

    Without `what` it is the engine's; without `node` the head's, of each service that has one.
    Raises UsageError for an unknown name, and for a node that is not the service's.
    """
    if what is not None and "/" in what:
        return [_of_id(inventory, what, node)]
    view = next((v for v in inventory.views if v.service == what), None)
    if view is not None and node is None:
        return [Log(view.head, _id(view, _engine(view).kind, view.head))]
    kinds = {kind_of(unit) for unit in known(inventory)}
    if what is not None and view is None and what not in kinds:
        raise unknown(inventory, what)
    kind = what if what in kinds else None
    if view is not None and node not in (None, *(n.name for n in view.nodes)):
        nodes = [n.name for n in view.nodes]
        raise elsewhere(f"service {what} runs on {', '.join(nodes)}, not on {node}", what, node)
    if node is not None:
        return [_on(inventory, kind, inventory.node(node), view)]
    return [
        _on(inventory, kind, view.head, view)
        for view in inventory.views
        if kind in (None, *map(kind_of, outline(view)))
    ]


def _sorted(inventory: Inventory, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names of units, and those of nodes."""
    known_nodes = [n.name for n in inventory.nodes]
    known_units = _names(known(inventory))
    units: list[str] = []
    nodes: list[str] = []
    for name in names:
        is_unit = "/" in name or name in known_units
        if name in known_nodes and (units or not is_unit):
            nodes.append(name)
        elif is_unit or not units:  # the first may be of a record
            units.append(name)
        else:
            raise UsageError(
                f'unknown node "{name}"{nearest(name, [*known_nodes, *known_units])}',
                hint=f"the inventory's nodes are {', '.join(known_nodes)}",
                code="node-unknown",
                data={"node": name, "nodes": known_nodes},
            )
    return units, nodes


def _of(inventory: Inventory, what: str | None, node: str | None) -> Sequence[Log | Unknown]:
    try:
        return chosen(inventory, what, node)
    except UsageError as error:
        if what is None:
            raise
        return [Unknown(what, node, error)]


def _of_node(inventory: Inventory, node: Node) -> Log:
    """The engine's log on a node; of one without an engine's the last unit's that starts there."""
    view = inventory.view_of(node)
    units = [u for u in outline(view) if node_of(u) == node.name] if view else []
    engines = [u for u in units if view and kind_of(u) == _engine(view).kind]
    found = [*engines, *reversed(units)]
    return Log(node, found[0]) if found else _on(inventory, None, node, view)


def missing(inventory: Inventory, log: Log) -> SparkctlError:
    """The error for a unit without a log; it names the newest that is kept on this machine."""
    view = inventory.view_of(log.node)
    hint = "`sparkctl status` shows what runs"
    if view is not None:
        kind, units = _engine(view).kind, outline(view)
        nodes = [node_of(unit) for unit in units if kind_of(unit) == kind]
        if log.unit not in units and nodes:
            hint += f"; {_engine(view).title}'s log is on {', '.join(nodes)}"
    path = newest(inventory.cluster, log.node.name, log.kind)
    if path:
        read = f"`sparkctl doctor --log {shlex.quote(str(path))}`"
        hint += f"; {read} reads the last failed start's log, which this machine kept"
    return SparkctlError(
        f"no {log.kind} log of cluster {inventory.cluster}",
        node=log.node.name,
        hint=hint,
        code="log-missing",
        data={"log": log.kind, "unit": log.unit, "kept": str(path) if path else None},
    )


def known(inventory: Inventory) -> list[str]:
    """The ids of the units that `up` starts, by service."""
    return [unit for view in inventory.views for unit in outline(view)]


def _on(inventory: Inventory, kind: str | None, node: Node, service: View | None) -> Log:
    view = service or inventory.view_of(node)
    kind = kind or _engine(view or inventory.views[0]).kind
    return Log(node, _id(view, kind, node) if view else kind)


def _of_id(inventory: Inventory, what: str, node: str | None) -> Log:
    if what not in known(inventory):
        raise unknown(inventory, what)
    name = node_of(what)
    if node not in (None, name):
        raise elsewhere(f"unit {what} runs on {name}, not on {node}", what, node)
    return Log(inventory.node(name), what)


def elsewhere(
    message: str,
    what: str | None,
    node: str | None,
    errors: Mapping[str, SparkctlError] = MappingProxyType({}),
) -> UsageError:
    """The error for a unit that another node has; `errors` of nodes that could not be asked."""
    hint = "leave the node out, or name one of these" if node else "`status --host` shows a node"
    return UsageError(
        message,
        hint=hint + _unasked(errors),
        code="unit-elsewhere",
        data={"unit": what, "node": node},
    )


def _unasked(errors: Mapping[str, SparkctlError]) -> str:
    return f"; {', '.join(errors)} could not be asked for others" if errors else ""


def unknown(
    inventory: Inventory,
    what: str,
    records: Sequence[str] = (),
    errors: Mapping[str, SparkctlError] = MappingProxyType({}),
) -> UsageError:
    """The error for a name that is no unit's, nor one of the `records`."""
    units = list(dict.fromkeys([*known(inventory), *records]))
    names = [*_names(units), *(n.name for n in inventory.nodes)]
    return UsageError(
        f'unknown unit "{what}"{nearest(what, names)}',
        hint=f"the units are {', '.join(units)}{_unasked(errors)}",
        code="unit-unknown",
        data={"unit": what, "units": units},
    )


def _names(units: Sequence[str]) -> list[str]:
    """By which units are named: their ids, services and kinds."""
    return [*dict.fromkeys([*units, *map(service_of, units), *map(kind_of, units)])]


def _engine(view: View) -> Engine:
    return engine_of(view.vllm)


def _id(view: View, kind: str, node: Node) -> str:
    return f"{view.service}/0/{kind}/{node.name}"
