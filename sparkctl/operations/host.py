"""`status --host`: what runs on one node, by what the node itself has; no inventory is needed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sparkctl.errors import ConnectError, SparkctlError, UsageError
from sparkctl.facts.calls import CLUSTERS
from sparkctl.facts.decode import decode
from sparkctl.inventory.models import SHORT, Ssh
from sparkctl.node.unitid import node_of
from sparkctl.operations.starting import startup
from sparkctl.operations.unitstatus import UnitStatus, statuses
from sparkctl.plan.observed import Seen
from sparkctl.plan.record import State, parsed
from sparkctl.remote import node_rpc
from sparkctl.remote.connection import Connection, connect
from sparkctl.remote.fanout import check_all, each

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.facts.answers import HostCluster, OtherCluster
    from sparkctl.facts.groups import Holder

HOST = re.compile(r"(?:([A-Za-z0-9_.-]+)@)?([A-Za-z0-9_.:%][A-Za-z0-9_.:%-]{0,252})")
CHECK_NETWORK = "check that the host is on and in this network, and its Port in ~/.ssh/config"
HINTS = {
    "name-unknown": "check the name, or give it a HostName in ~/.ssh/config",
    "connect-refused": "no sshd listens there: check the Port in ~/.ssh/config and `systemctl"
    " status ssh` there",
    "host-unreachable": CHECK_NETWORK,
    "connect-timeout": CHECK_NETWORK,
    "connect": CHECK_NETWORK,
}
SELF = "localhost"  # what units of the oldest records are called on a node without a name


@dataclass(frozen=True)
class ClusterThere:
    """A cluster that a node has: who started it and when, its nodes' hosts, and the node's units.

    `error` with its `code`: why it is not known which.
    """

    name: str
    id: str = ""
    who: str = ""
    when: str = ""
    nodes: Mapping[str, str] = field(default_factory=dict)
    units: tuple[UnitStatus, ...] = ()
    lease: Holder | None = None
    error: str | None = None
    code: str | None = None


@dataclass(frozen=True)
class HostStatus:
    """The clusters on a host: of the account that logs in, and `others` as far as it can see.

    `left_out` clusters of the account were too many to be read.
    """

    host: str
    clusters: tuple[ClusterThere, ...]
    others: tuple[OtherCluster, ...]
    left_out: int = 0


def host_status(host: str) -> HostStatus:
    """Log in by ~/.ssh/config's settings and look.

    Raises UsageError for what is no host, RemoteError when it cannot be reached or read.
    """
    match = HOST.fullmatch(host)
    if match is None:
        raise UsageError(
            f"--host: expected a name or an address, got {host!r}",
            hint="a name of ~/.ssh/config, an address, or user@address",
            code="host-invalid",
            data={"host": host},
        )
    user, address = match.groups()

    def look(name: str) -> HostStatus:
        with connect(name, address, Ssh(user=user), read_only=True) as connection:
            return _read(connection, host, address)

    try:
        return check_all(each([host], look, key=str))[host]
    except ConnectError as error:
        if error.code in HINTS:  # no inventory has it
            error.hint = HINTS[error.code]
        raise


def _read(connection: Connection, host: str, address: str) -> HostStatus:
    command = node_rpc.call(CLUSTERS.target, {}, title="read the clusters")
    stdout = connection.run(command).check().stdout
    found = decode(CLUSTERS, stdout, connection.node, command.title)
    clusters = tuple(_cluster(connection, address, cluster) for cluster in found.clusters)
    return HostStatus(host, clusters, found.others, found.left_out)


def _cluster(connection: Connection, address: str, found: HostCluster) -> ClusterThere:
    error = None
    state = State()
    if found.unread is not None:
        error = SparkctlError(f"its files could not be read: {found.unread}", code="unread")
    else:
        try:
            state = parsed(found.record, SHORT, SELF)
        except SparkctlError as newer:
            error = newer
    node = _own_name(state, [p.unit for p in found.processes], address)
    if not state.id and not error:  # an older record has no node's name: it takes this one
        state = parsed(found.record, SHORT, node)
    seen = Seen.on(node, SHORT, state, found.processes)
    units = statuses(
        seen,
        lambda _, record, lives: startup(connection, found.name, record, lives=lives),
        [node] if found.lease else [],
    )
    own = [unit for unit in units if unit.node == node]
    if error:
        own = [replace(unit, state="unread", why=error.message) for unit in own]
    return ClusterThere(
        name=found.name,
        id=state.id,
        who=state.by.get("who", ""),
        when=state.by.get("when", ""),
        nodes={name: str(node.get("host", "")) for name, node in state.nodes.items()},
        units=tuple(own),
        lease=found.lease,
        error=error.message if error else None,
        code=error.code if error else None,
    )


def _own_name(state: State, running: Sequence[str], address: str) -> str:
    """What the cluster calls this node: by the units that are its own, else by its address."""
    units = (node_of(name) for name in (*state.units, *running) if name)
    named = (name for name, node in state.nodes.items() if node.get("host") == address)
    return next((n for n in (*units, *named) if n != SELF), address)
