"""Logs of units that the inventory does not have: by what the nodes have recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.node.unitid import is_unit, kind_of, node_of, service_of
from sparkctl.operations.logs.selection import ELSEWHERE, Log, Unknown, elsewhere, unknown
from sparkctl.operations.starting import stages_of
from sparkctl.plan.observed import Seen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkctl.errors import UsageError
    from sparkctl.operations.session import Session


def resolved(session: Session, found: Iterable[Log | Unknown]) -> list[Log]:
    """Each of these logs once; what the inventory does not have, as the nodes have recorded it.

    Raises as `recorded`.
    """
    logs = (
        recorded(session, log.what, log.node, log.error) if isinstance(log, Unknown) else log
        for log in found
    )
    return [*{(log.node.name, log.unit): log for log in logs}.values()]


def recorded(session: Session, what: str, node: str | None, error: UsageError) -> Log:
    """The log of what only the nodes' records name, as a service that left the inventory: by a
    unit's id, or by its service or kind, also of those on `node` alone.

    Raises `error` where no record has it, UsageError where others of it are recorded; the
    connection's error of a node that an id names, or that is asked for, and that could not be read.
    """
    inventory = session.inventory
    nodes = [n for n in inventory.nodes if n.name in session.pool.connections]
    errors = {**session.pool.errors, **session.probe(nodes).failed}
    wanted = node or (node_of(what) if is_unit(what) else None)
    if wanted in errors:
        raise errors[wanted]
    records = Seen(inventory, session.facts, errors).records
    named = [u for u in records if what in (u, service_of(u), kind_of(u))]
    at = {n.name: n for n in inventory.nodes}
    found = [u for u in named if node_of(u) in at and node in (None, node_of(u))]
    # A service's own log is that of the unit with stages, as the engine's.
    first = sorted(found, key=lambda u: stages_of(records[u].unit) is None)
    if first:
        return Log(at[node_of(first[0])], first[0])
    if error.code == ELSEWHERE or not (records or errors):
        raise error
    if named:
        where = ", ".join(dict.fromkeys(map(node_of, named)))
        lost = f"not on {node}" if node else "which is not in the inventory"
        raise elsewhere(f"{what} ran on {where}, {lost}", what, node, errors)
    raise unknown(inventory, what, [*records], errors)
