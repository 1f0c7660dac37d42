"""A connection to each node of an inventory, opened in parallel and closed together."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sparkctl.remote.connection import Connection, connect
from sparkctl.remote.fanout import each

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from types import TracebackType

    from sparkctl.errors import SparkctlError
    from sparkctl.inventory.models import Inventory, Node


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
        self._read_only = read_only
        self._then = then
        self._meanwhile = meanwhile
        self.connections: dict[str, Connection] = {}
        self.errors: dict[str, SparkctlError] = {}
        self.seconds: dict[str, float] = {}  # from the first packet to the login
        self._connecting: set[str] = set()

    def __enter__(self) -> Pool:
        inventory = self._inventory

        def log_in(node: Node) -> Connection:
            start = time.monotonic()
            ssh = inventory.ssh_of(node)
            try:
                connection = connect(node.name, node.host, ssh, read_only=self._read_only)
            finally:
                self._connecting.discard(node.name)
            self.seconds[node.name] = time.monotonic() - start
            self.connections[node.name] = connection
            if self._then:
                self._then(node)
            return connection

        self._connecting.update(node.name for node in inventory.nodes)
        result = each(
            inventory.nodes,
            log_in,
            key=lambda node: node.name,
            abandoned=Connection.close,
            meanwhile=self._meanwhile,
        )
        self.connections, self.errors = result.ok, result.failed
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for connection in self.connections.values():
            connection.close()

    def changing(self) -> list[threading.Event]:
        """An event for each running command that mutates a node, set when it has ended."""
        return [event for c in self.connections.values() for event in c.changing()]

    def waiting(self) -> list[tuple[str, str]]:
        """What is waited for now, with its node, in the inventory's order."""
        names = [node.name for node in self._inventory.nodes]
        found = [("connecting", name) for name in names if name in self._connecting]
        for name in names:
            if connection := self.connections.get(name):
                found += [(what, name) for what in connection.waiting()]
        return found
