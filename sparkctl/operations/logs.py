"""`logs`: which unit's log is meant, and the file that its program writes, read or followed."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.engines.table import ENGINES
from sparkctl.errors import UsageError
from sparkctl.facts.calls import FOLLOW
from sparkctl.facts.decode import decode
from sparkctl.node.unitid import kind_of
from sparkctl.remote import node_rpc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.inventory.models import Inventory, Node, View
    from sparkctl.operations.session import Session

RAY = "ray"  # the kind of the units that carry an engine over Ray


class Log(NamedTuple):
    """The log of a unit: by its id, or by a kind where a node has no service."""

    node: Node
    unit: str

    @property
    def kind(self) -> str:
        """The unit's kind, such as `ray`."""
        return kind_of(self.unit)


def chosen(inventory: Inventory, what: str | None, node: str | None) -> Log:
    """The log of `what`: a unit's id, a service's name for its engine's, or a kind on `node`.

    Without `what` it is the engine's, without `node` the head's. Raises UsageError for an unknown
    name, and where several services have such a unit.
    """
    if what is not None and "/" in what:
        return _of_id(inventory, what, node)
    view = next((v for v in inventory.views if v.service == what), None)
    if view is not None and node is None:
        return Log(view.head, _id(view, _engine_kind(view), view.head))
    if what is not None and what not in _kinds(inventory):
        raise _unknown(inventory, what)
    if node is not None:
        return _on(inventory, what, next(n for n in inventory.nodes if n.name == node))
    if len(inventory.views) > 1:
        units = [u for u in known(inventory) if what is None or kind_of(u) == what]
        raise UsageError(
            f"{len(inventory.views)} services run {what or 'an engine'}",
            hint=f"name a unit ({', '.join(units)}), or a service for its engine's log",
            code="unit-ambiguous",
            data={"units": units},
        )
    return _on(inventory, what, inventory.views[0].head)


def known(inventory: Inventory) -> list[str]:
    """The ids of the units that `up` starts, by service."""
    return [
        _id(view, kind, node)
        for view in inventory.views
        for kind in _kinds_of(view)
        for node in ((view.head, *view.workers) if kind == RAY else (view.head,))
    ]


def _on(inventory: Inventory, kind: str | None, node: Node) -> Log:
    view = inventory.view_of(node)
    kind = kind or _engine_kind(view or inventory.views[0])
    return Log(node, _id(view, kind, node) if view else kind)


def _of_id(inventory: Inventory, what: str, node: str | None) -> Log:
    parts = what.split("/")
    service, _, kind, name = parts if len(parts) == 4 else ("", "", "", "")
    view = next((v for v in inventory.views if v.service == service), None)
    found = next((n for n in view.nodes if n.name == name), None) if view else None
    if view is None or found is None or kind not in _kinds_of(view):
        raise _unknown(inventory, what)
    if node not in (None, name):
        raise UsageError(
            f"unit {what} runs on {name}, not on {node}",
            hint="leave the node out: a unit's id names it",
            code="unit-elsewhere",
            data={"unit": what, "node": node},
        )
    return Log(found, what)


def _unknown(inventory: Inventory, what: str) -> UsageError:
    units = known(inventory)
    names = [*units, *(v.service for v in inventory.views), *_kinds(inventory)]
    near = get_close_matches(what, names, n=1)
    return UsageError(
        f"unknown unit {what}" + (f'; did you mean "{near[0]}"?' if near else ""),
        hint=f"the units are {', '.join(units)}",
        code="unit-unknown",
        data={"unit": what, "units": units},
    )


def _kinds(inventory: Inventory) -> Sequence[str]:
    return list(dict.fromkeys(kind for view in inventory.views for kind in _kinds_of(view)))


def _kinds_of(view: View) -> Sequence[str]:
    return (RAY, _engine_kind(view)) if view.vllm.executor == RAY else (_engine_kind(view),)


def _engine_kind(view: View) -> str:
    return ENGINES[view.vllm.engine].kind


def _id(view: View, kind: str, node: Node) -> str:
    return f"{view.service}/0/{kind}/{node.name}"


def read_log(
    session: Session, node: Node, unit: str, *, lines: int | None, follow: bool
) -> Iterator[str]:
    """Pieces of the log's text: its last `lines` lines, None for all that is kept of it, then, with
    `follow`, what comes.
    """
    command = node_rpc.call(
        FOLLOW.target,
        {
            "cluster": session.inventory.cluster,
            "unit": unit,
            **({"all": True} if lines is None else {"lines": lines}),
            "follow": follow,
        },
        title=f"read the log of {unit}",
    )
    with session.pool.connections[node.name].stream(command) as stream:
        for line in stream:
            event = decode(FOLLOW, line.encode(), node.name, command.title) if line else None
            if event and event.text:
                yield event.text
