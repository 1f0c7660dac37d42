"""Looks at a cluster again and again, over connections that are made once."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from sparkctl.errors import SparkctlError
from sparkctl.operations.status import Status, status
from sparkctl.remote.reconnect import Patience, passes, reconnect

if TYPE_CHECKING:
    from types import TracebackType

    from sparkctl.events import Wait
    from sparkctl.operations.session import Session
    from sparkctl.remote.connection import Connection

log = logging.getLogger(__name__)


class Watch:
    """A cluster that is looked at until the block's end.

    A node that is lost is tried again in a thread of its own, for which no look waits.
    """

    def __init__(self, session: Session, *, deep: bool = False) -> None:
        self._session = session
        self._pool = session.pool
        self._deep = deep
        self._patience = Patience(notice=log.debug)
        self._lock = threading.Lock()
        self._trying: set[str] = set()
        self._ended: set[str] = set()  # of these, since the last look
        self._back: dict[str, Connection] = {}  # not admitted yet
        self._reasons: dict[str, SparkctlError] = {}  # of the last attempts
        self._changed = threading.Event()

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._patience.over.set()
            back, self._back = self._back, {}
        for connection in back.values():
            connection.close()

    def look(self) -> Status:
        """As operations.status: its first facts are the session's, later ones are read again."""
        session, self._session = self._session, self._session.again()
        self._admit()
        nodes = [n for n in session.inventory.nodes if n.name in self._pool.connections]
        for name, error in session.probe(nodes).failed.items():
            if passes(error) and not self._pool.connections[name].alive():
                self._pool.lose(name, error)
        self._try_again()
        return status(session, deep=self._deep)

    def waiting(self) -> list[Wait]:
        """What the present look waits for, with its node."""
        return self._pool.waiting()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until a node is back."""
        self._changed.wait(seconds)
        self._changed.clear()

    def _admit(self) -> None:
        """Between two looks, so that a node is not there in one half of a look alone."""
        with self._lock:
            back, self._back = self._back, {}
            reasons, self._reasons = self._reasons, {}
            self._trying -= self._ended
            self._ended.clear()
        for name, error in reasons.items():
            self._pool.errors[name] = error
        for name, connection in back.items():
            self._pool.admit(name, connection)

    def _try_again(self) -> None:
        for name, error in self._pool.errors.items():
            if passes(error) and name not in self._trying:
                self._trying.add(name)
                threading.Thread(target=self._rejoin, args=(name,), daemon=True).start()

    def _rejoin(self, name: str) -> None:
        def attempt() -> Connection:
            try:
                return self._pool.login(name)
            except SparkctlError as error:
                with self._lock:
                    self._reasons[name] = error
                raise

        back: Connection | None = None
        try:
            back = reconnect(name, attempt, self._patience)
        except SparkctlError as error:
            log.debug("%s: given up: %s", name, error)
        with self._lock:
            self._ended.add(name)
            if back and not self._patience.over.is_set():
                self._back[name], back = back, None
        if back:
            back.close()
        self._changed.set()
