"""A connection to each node of an inventory, opened in parallel and closed together."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from sparkctl.errors import ConnectError, SparkctlError
from sparkctl.events import Wait
from sparkctl.remote.connection import Connection, connect
from sparkctl.remote.fanout import GroupResult, each
from sparkctl.remote.reconnect import reconnect

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from sparkctl.inventory.models import Inventory, Node
    from sparkctl.remote.reconnect import Patience


class Pool:
    """`connections` and `errors` by node name; a node that fails does not stop the others.

    `then` is called with each node as soon as it is connected, in the node's thread, `meanwhile`
    once in the caller's: neither waits for the slowest login. Neither may raise.
    """

    def __init__(
        self,
        inventory: Inventory,
        *,
        read_only: bool = False,
        then: Callable[[Node], object] | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> None:
        self._inventory = inventory
        self._nodes = {node.name: node for node in inventory.nodes}
        self._read_only = read_only
        self._then = then
        self._meanwhile = meanwhile
        self.connections: dict[str, Connection] = {}
        self.errors: dict[str, SparkctlError] = {}
        self.seconds: dict[str, float] = {}  # from the first packet to the login
        self._connecting: dict[str, float] = {}  # since when
        self._reconnecting = {node.name: threading.Lock() for node in inventory.nodes}
        self._given_up: dict[str, SparkctlError] = {}
        self._ending = threading.Lock()
        self._ended = False

    def __enter__(self) -> Pool:
        result = self._log_in(self._inventory.nodes, self._then, self._meanwhile)
        self.connections, self.errors = result.ok, result.failed
        return self

    def open(self, nodes: Sequence[Node]) -> GroupResult[Connection]:
        """Connect to more nodes, which the inventory does not have; `errors` has none of them."""
        self._nodes.update({node.name: node for node in nodes})
        self._reconnecting.update({node.name: threading.Lock() for node in nodes})
        return self._log_in(nodes)

    def _log_in(
        self,
        nodes: Sequence[Node],
        then: Callable[[Node], object] | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> GroupResult[Connection]:
        def log_in(node: Node) -> Connection:
            start = time.monotonic()
            try:
                connection = self._connect(node)
            finally:
                self._connecting.pop(node.name, None)
            self.seconds[node.name] = time.monotonic() - start
            self.connections[node.name] = connection
            if then:
                then(node)
            return connection

        self._connecting.update(dict.fromkeys((n.name for n in nodes), time.monotonic()))
        return each(
            nodes,
            log_in,
            key=lambda node: node.name,
            abandoned=Connection.close,
            meanwhile=meanwhile,
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._ending:
            self._ended = True
        for connection in self.connections.values():
            connection.close()

    def _connect(self, node: Node) -> Connection:
        ssh = self._inventory.ssh_of(node)
        return connect(node.name, node.host, ssh, read_only=self._read_only)

    def reconnected(self, name: str, lost: Connection, patience: Patience) -> Connection:
        """The connection to a node in place of a lost one, made by one thread for all.

        Returns at once when `lost` still stands, or another has taken its place. Raises as
        `reconnect`; a node that was given up is not tried again.
        """
        with self._reconnecting[name]:
            if (current := self.connections[name]) is not lost or lost.alive():
                return current
            if patience.over.is_set():
                raise _ended(name)
            if name in self._given_up:
                raise self._given_up[name]
            node = self._nodes[name]
            self._connecting[name] = time.monotonic()
            try:
                fresh = reconnect(name, lambda: self._connect(node), patience)
            except SparkctlError as error:
                if not patience.over.is_set():
                    self._given_up[name] = error
                raise
            finally:
                self._connecting.pop(name, None)
            self._replace(name, fresh)
        lost.close()
        return fresh

    def login(self, name: str) -> Connection:
        """A new connection to a node, which is the caller's until `admit`. Raises as connect."""
        return self._connect(self._nodes[name])

    def admit(self, name: str, connection: Connection) -> None:
        """Take a connection to a node that has none. Raises ConnectError in a closed pool."""
        self._replace(name, connection)
        self.errors.pop(name, None)

    def lose(self, name: str, error: SparkctlError) -> None:
        """Leave out a node whose connection is lost, for this reason."""
        self.connections.pop(name).close()
        self.errors[name] = error

    def _replace(self, name: str, fresh: Connection) -> None:
        """Raises ConnectError when the session has ended meanwhile."""
        with self._ending:
            if not self._ended:
                self.connections[name] = fresh
                return
        fresh.close()
        raise _ended(name)

    def changing(self) -> list[threading.Event]:
        """An event for each running command that mutates a node, set when it has ended."""
        return [event for c in self.connections.values() for event in c.changing()]

    def waiting(self) -> list[Wait]:
        """What is waited for now, the nodes in the inventory's order."""
        found = []
        connecting = {**self._connecting}
        for name in list(self._nodes):
            if name in connecting:
                found.append(Wait("connecting", name, connecting[name]))
            if connection := self.connections.get(name):
                found += [Wait(what, name, since) for what, since in connection.waiting()]
        return found


def _ended(node: str) -> ConnectError:
    """The error for a connection that was lost and is no longer waited for."""
    return ConnectError(
        "connection lost", node=node, hint="run the command again", code="connection-lost"
    )
