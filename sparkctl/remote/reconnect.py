"""Lost connections: waited for while an operation runs, and the calls that were lost repeated."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from sparkctl.errors import AuthError, ConnectError
from sparkctl.remote.awake import Stopwatch
from sparkctl.remote.interruptible import aside

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.errors import SparkctlError
    from sparkctl.remote.connection import Connection
    from sparkctl.remote.pool import Pool

T = TypeVar("T")
RECONNECT = 900.0  # seconds awake until a lost connection is given up
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0  # seconds between two attempts
ATTEMPT = 30.0  # seconds that one attempt takes at most while the computer is awake
QUIET = 10.0  # seconds until the next notice; doubles each time
REPEATS = 10  # times that one call is made again: it may be what ends the connection
# Errors of ~/.ssh/config, which another attempt meets too.
FINAL = {"ssh-config", "ssh-missing", "proxy-jump", "proxy-jump-loop"}


@dataclass(frozen=True)
class Patience:
    """That an operation waits for lost connections. `notice` gets lines for the user.

    `check` raises what ends the wait, such as a lost lease; `over` is set to end all waits.
    """

    notice: Callable[[str], object]
    check: Callable[[], object] = lambda: None
    over: threading.Event = field(default_factory=threading.Event)


def lasting(
    pool: Pool,
    node: str,
    patience: Patience | None,
    work: Callable[[Connection], T],
    *,
    repeatable: bool,
) -> T:
    """What `work` gives, made once more on a new connection when its connection is lost.

    Work that is not `repeatable` is made once more only if it never reached the node. Without
    `patience` nothing is. Raises as `work` does, HostKeyError or AuthError when the node refuses
    the new connection, ConnectError (`not-reconnected`) after RECONNECT seconds.
    """
    for _ in range(REPEATS):
        connection = pool.connections[node]
        try:
            return work(connection)
        except ConnectError as error:
            if patience is None or patience.over.is_set():
                raise
            if not aside(partial(may_repeat, error, connection, repeatable=repeatable)):
                raise
        aside(partial(pool.reconnected, node, connection, patience))
    return work(pool.connections[node])


def may_repeat(error: ConnectError, connection: Connection, *, repeatable: bool) -> bool:
    """Whether the connection was lost, and the work may be made once more.

    A command that hangs on a node whose connection stands is that node's failure.
    """
    if error.code != "connection-lost":
        return False
    if error.data.get("sent") is False:
        return True
    return repeatable and (error.data.get("suspended") is True or not connection.alive())


def reconnect(node: str, connect: Callable[[], Connection], patience: Patience) -> Connection:
    """A new connection to a node: tried at once, then with growing pauses.

    Raises what `check` raises, HostKeyError, AuthError, or ConnectError when RECONNECT seconds are
    over or `patience` is.
    """
    watch, start = Stopwatch(ATTEMPT), time.monotonic()
    pause, again = FIRST_PAUSE, QUIET
    patience.notice(f"connection to {node} lost; reconnecting")
    while True:
        patience.check()
        try:
            connection = connect()
        except (ConnectError, AuthError) as error:
            if not passes(error):
                raise
            reason = error
        else:
            patience.notice(f"connection to {node} restored after {_since(start)}")
            return connection
        if watch.awake() > RECONNECT or patience.over.wait(pause):
            raise ConnectError(
                f"connection lost and not restored: {reason.message}",
                node=node,
                hint=reason.hint,
                code="not-reconnected",
                data={"cause": reason.code},
            ) from reason
        pause = min(2 * pause, LONGEST_PAUSE)
        if time.monotonic() - start > again:
            again *= 2
            patience.notice(f"connection to {node} lost; reconnecting ({_since(start)})")


def _since(start: float) -> str:
    return f"{time.monotonic() - start:.0f} s"


def passes(error: SparkctlError) -> bool:
    """Whether another attempt may succeed: a login that the network cut is no refused one."""
    if isinstance(error, AuthError):
        return error.data.get("closed") is True
    return isinstance(error, ConnectError) and error.code not in FINAL
