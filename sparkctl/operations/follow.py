"""A log that is followed over lost connections: every piece of its text once."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from sparkctl.errors import ConnectError, RemoteTimeout
from sparkctl.facts.calls import FOLLOW
from sparkctl.facts.decode import decode
from sparkctl.remote import node_rpc
from sparkctl.remote.interruptible import aside
from sparkctl.remote.reconnect import Patience, may_repeat

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from sparkctl.facts.answers import Followed
    from sparkctl.inventory.models import Node
    from sparkctl.operations.session import Session


def follow(
    session: Session,
    node: Node,
    request: dict[str, Any],
    *,
    title: str,
    silence: float = 1.0,
    notice: Callable[[str], object] | None = None,
) -> Generator[Followed | None, None, None]:
    """The events of node/follow.py for this request; None after each `silence` (seconds).

    A lost connection is made again, and the log goes on where it was: while the lease is held, or
    when `notice` takes the lines for the user, and the request is to follow. Raises LeaseLostError
    once the lease is lost, RemoteError when the connection does not return or the call fails.
    Close it (contextlib.closing) to end it early.
    """
    start = time.monotonic()
    patience = session.patience
    if patience is None and notice is not None and request.get("follow", True):
        patience = Patience(notice)
    asked = {"cluster": session.inventory.cluster, **request}
    while True:
        connection = session.connection(node)
        command = node_rpc.call(FOLLOW.target, _aged(asked, start), title=title)
        try:
            with connection.stream(command, timeout=silence) as lines:
                for line in lines:
                    if session.lease is not None:
                        session.lease.check()
                    event = decode(FOLLOW, line.encode(), node.name, title) if line else None
                    if event is not None and event.at is not None:
                        asked["at"] = event.at.model_dump()
                    yield event
            return
        except RemoteTimeout:  # it was followed for a day
            continue
        except ConnectError as error:
            if patience is None or patience.over.is_set():
                raise
            if not aside(partial(may_repeat, error, connection, repeatable=True)):
                raise
        except KeyboardInterrupt:
            session.hurry()
            raise
        try:
            aside(partial(session.pool.reconnected, node.name, connection, patience))
        except KeyboardInterrupt:
            patience.over.set()  # for the thread that still tries
            raise


def _aged(request: dict[str, Any], start: float) -> dict[str, Any]:
    """The request of that time (monotonic), as it is made now: `since` is longer ago."""
    if "since" not in request:
        return request
    return {**request, "since": request["since"] + time.monotonic() - start}
