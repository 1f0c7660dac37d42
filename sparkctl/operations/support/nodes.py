"""What the nodes have for a support bundle: the last logs of their units, and their journals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.errors import SparkctlError
from sparkctl.facts.calls import READ_JOURNAL, SUPPORT
from sparkctl.node.unitid import node_of
from sparkctl.operations.logs.selection import known
from sparkctl.operations.support.excerpt import unpacked
from sparkctl.plan.observed import Seen
from sparkctl.remote.fanout import each

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkctl.facts.answers import JournalEntry
    from sparkctl.inventory.models import Node
    from sparkctl.operations.session import Session
    from sparkctl.operations.support.excerpt import Excerpt
    from sparkctl.remote.fanout import GroupResult

ROOT = "root's journal"
MOST = 16  # logs of a node
LIMIT = 32 * 2**20  # bytes of an answer: so many logs that cannot be compressed


@dataclass
class NodeSide:
    """A node's logs by unit, the entries of the login's journal and of root's, None where it has
    none or it could not be read; `errors`: what could not be read, and why.
    """

    logs: dict[str, Excerpt] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    journal: Sequence[JournalEntry] = ()
    of_root: Sequence[JournalEntry] | None = None
    errors: dict[str, str] = field(default_factory=dict)


def read(session: Session, meanwhile: Callable[[], object]) -> GroupResult[NodeSide]:
    """What the reached nodes have, all asked at once; nothing that one lacks hides the rest.

    `meanwhile` is called while they are waited for.
    """
    units = _units(session)
    nodes = [n for n in session.inventory.nodes if n.name in session.pool.connections]
    return each(
        nodes,
        lambda n: _read(session, n, units[n.name]),
        key=lambda n: n.name,
        meanwhile=meanwhile,
    )


def _units(session: Session) -> Mapping[str, Sequence[str]]:
    """The units of each node: of the inventory, and of the records as far as they are known."""
    try:
        records = [*Seen(session.inventory, session.facts, session.unread).records]
    except SparkctlError:  # a newer sparkctl's
        records = []
    ids = dict.fromkeys([*known(session.inventory), *records])
    return {n.name: [u for u in ids if node_of(u) == n.name] for n in session.inventory.nodes}


def _read(session: Session, node: Node, units: Sequence[str]) -> NodeSide:
    request = {"units": units[:MOST]}
    answer = session.ask(node, SUPPORT, request, title="read the logs and the journal", limit=LIMIT)
    found = NodeSide(journal=answer.entries, errors=dict(answer.errors))
    found.errors.update(dict.fromkeys(units[MOST:], f"only {MOST} logs of a node are read"))
    for log in answer.logs:
        if log.unit in request["units"]:  # else it is no unit that was asked for
            try:
                found.logs[log.unit] = unpacked(log, node.name)
                found.paths[log.unit] = log.path
            except SparkctlError as error:
                found.errors[log.unit] = error.message
    sudo = session.facts[node.name].sudo if node.name in session.facts else None
    if answer.root and sudo is True:
        _read_root(session, node, found)
    elif answer.root:
        found.errors[ROOT] = "sudo needs a password"
    return found


def _read_root(session: Session, node: Node, found: NodeSide) -> None:
    """Add what root undoes, which the login may read without a password."""
    try:
        answer = session.ask(
            node, READ_JOURNAL, {"root": True}, title="read root's journal", root=True
        )
        found.of_root = answer.entries
    except SparkctlError as error:
        found.errors[ROOT] = error.message
