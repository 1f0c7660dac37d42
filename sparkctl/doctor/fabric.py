"""The fabric of nodes as read, for `fabric show` and `fabric match`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.checks import selection
from sparkctl.doctor.checks.gid import pinned_index, selectable
from sparkctl.errors import RemoteError
from sparkctl.fabric.diagram import GidRule, draw
from sparkctl.fabric.grammar import IB_HCA, SOCKET_IFNAME
from sparkctl.facts.unread import Missing

if TYPE_CHECKING:
    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.errors import SparkctlError
    from sparkctl.fabric.diagram import Diagram
    from sparkctl.fabric.hca import Selection
    from sparkctl.fabric.version import Version


def unread(snapshot: Snapshot) -> dict[str, SparkctlError]:
    """The nodes whose fabric could not be read, each with its error."""
    errors = {name: _error(snapshot, name) for name in snapshot.names}
    return {name: error for name, error in errors.items() if error is not None}


def _error(snapshot: Snapshot, name: str) -> SparkctlError | None:
    try:
        snapshot.halves(name)
    except Missing as missing:
        known = snapshot.errors.get(name)
        return known or RemoteError(missing.message, node=name, code="facts-unread")
    return None


def diagram(snapshot: Snapshot) -> Diagram:
    """The fabric of the nodes that were read."""
    errors = unread(snapshot)
    facts = {name: snapshot.facts(name) for name in snapshot.names if name not in errors}
    derived = [name for name in facts if snapshot.choice_error(name) is None]
    rules = {n: GidRule(pinned_index(snapshot, n), selectable(snapshot, n)) for n in derived}
    return draw(facts, rules)


def selections(
    snapshot: Snapshot, name: str, hca: str | None, ifname: str | None, version: Version | None
) -> list[Selection]:
    """What NCCL selects on a node by these values, or by those that `up` would set for None.

    `version` is NCCL's, None for the node's own. Raises the error of a node that was not read.
    """
    if error := _error(snapshot, name):
        raise error
    version = version or snapshot.nccl_version(name)
    given = {k: v for k, v in ((IB_HCA, hca), (SOCKET_IFNAME, ifname)) if v is not None}
    underived = snapshot.choice_error(name)
    if underived is not None and not given:
        raise underived
    # NCCL_SOCKET_FAMILY and NCCL_COMM_ID of that environment bear on an --ifname too.
    planned = snapshot.effective(name) if underived is None and hca is None else {}
    values = {**planned, **given}
    found = []
    if ifname is None:
        found.append(selection.hca_selection(snapshot, name, values, version))
    if hca is None:
        found.append(selection.interface_selection(snapshot, name, values, version))
    return found
