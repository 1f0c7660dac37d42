"""One SSH connection to a node, on which commands are run and streamed."""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from sparkctl.errors import RemoteTimeout, SparkctlError
from sparkctl.remote import keepalive, login, ssh_io
from sparkctl.remote.awake import GAP, Stopwatch
from sparkctl.remote.command import KILL_GRACE, Command, Result
from sparkctl.remote.interruptible import aside
from sparkctl.remote.ssh_sessions import OPEN_TIMEOUT, Sessions

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from types import TracebackType

    import paramiko

    from sparkctl.inventory.models import Ssh

LEAST_START = 5.0  # seconds that a login shell has at least to start a command on a busy node
ENDING = 0.5  # seconds in which a transport ends whose channels have ended
TIMED_OUT = (124, 137)  # exit statuses of timeout(1): after SIGTERM, after SIGKILL

log = logging.getLogger(__name__)  # a command's stdin may hold secrets and is never logged


def connect(node: str, host: str, ssh: Ssh, *, read_only: bool = False) -> Connection:
    """Connect and log in to a node, through its jump hosts.

    Raises ConnectError, HostKeyError or AuthError.
    """
    with _logged(node, "connecting", host):
        transports = login.open_transport(node, host, ssh)
    keepalive.watch(node, transports)
    start_timeout = max(ssh.connect_timeout, LEAST_START)
    return Connection(node, transports, read_only=read_only, start_timeout=start_timeout)


class Connection:
    """A logged-in transport; several threads may run commands on it at once.

    With `read_only`, a command that `mutates` is refused. After Ctrl-C running commands continue
    on the node, and the connection stays usable.
    """

    def __init__(
        self,
        node: str,
        transports: list[paramiko.Transport],
        *,
        read_only: bool = False,
        start_timeout: float = OPEN_TIMEOUT,
    ) -> None:
        self.node = node
        self._transports = transports
        self._sessions = Sessions(node, transports[-1], start_timeout)
        self._read_only = read_only
        self._waited: list[tuple[str, float]] = []  # see `waiting`

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the node's transport, then those of its jump hosts."""

        def close() -> None:
            for transport in reversed(self._transports):
                transport.close()

        aside(close)

    def alive(self) -> bool:
        """Whether the connection still stands, as far as is known."""
        self._transports[-1].join(ENDING)
        return self._transports[-1].is_active()

    def changing(self) -> list[threading.Event]:
        """An event for each running command that mutates, set when it has ended."""
        return list(self._sessions.changing)

    def waiting(self) -> list[tuple[str, float]]:
        """The names of the commands that `run` waits for, and since when (time.monotonic)."""
        return list(self._waited)

    def run(self, command: Command) -> Result:
        """Run a command to its end and return its result, whatever its exit status.

        Raises RemoteTimeout when it timed out (it was killed on the node), CommandError when a
        signal ended it or it printed more than its limit, ConnectError when the connection was
        lost, the node stopped answering or the login shell did not start the command.
        """
        self._refuse_changes(command)
        waited = (command.name, time.monotonic())
        self._waited.append(waited)
        try:
            return aside(lambda: self._run(command))
        finally:
            self._waited.remove(waited)

    def _run(self, command: Command) -> Result:
        with self._logged(command), self._sessions.session(command) as channel:
            watch = Stopwatch()
            limit = command.timeout + KILL_GRACE + OPEN_TIMEOUT
            reader = self._sessions.reader(limit)
            with self._sessions.limited(channel, command):
                stdout, stderr = ssh_io.exchange(
                    channel, command.stdin, reader, lambda: limit - watch.awake(), command.limit
                )
            if watch.awake() > limit and not channel.exit_status_ready():
                self._sessions.kill(channel)
                raise self._sessions.lost(command, f"no answer for {limit:g} s")
            return self._result(channel, command, watch, stdout, stderr)

    @contextmanager
    def stream(self, command: Command, *, timeout: float = 1.0) -> Iterator[Iterator[str | None]]:
        """The lines of a long-lived command's stdout; None after each silent `timeout` (seconds).

        The end of the block ends the command's stdin, which asks it to stop. The iterator ends
        with the command. It raises ConnectError when the connection is lost, RemoteTimeout or
        CommandError when the command failed, also CommandError at a line without an end.
        """
        self._refuse_changes(command)
        started = self._started(command)
        channel = aside(started.__enter__, abandoned=lambda _: _leave(started))
        try:
            yield self._lines(channel, command, timeout)
        finally:
            aside(lambda: _leave(started))

    @contextmanager
    def _started(self, command: Command) -> Iterator[paramiko.Channel]:
        with self._logged(command), self._sessions.session(command) as channel:
            channel.settimeout(OPEN_TIMEOUT)
            try:
                channel.sendall(command.stdin)
            except OSError as error:
                raise self._sessions.lost(command, error) from error
            yield channel
            if self._sessions.is_open(channel):
                channel.shutdown_write()

    def _lines(
        self, channel: paramiko.Channel, command: Command, timeout: float
    ) -> Iterator[str | None]:
        watch, errors = Stopwatch(), ssh_io.StderrEnds()
        reader = self._sessions.reader(command.timeout)
        batches = ssh_io.lines(channel, timeout, reader, errors)
        with self._sessions.limited(channel, command):
            while (batch := aside(lambda: next(batches, None))) is not None:
                watch.awake()
                yield from batch
        aside(lambda: self._result(channel, command, watch, b"", errors.value()).check())

    def _result(
        self, channel: paramiko.Channel, command: Command, watch: Stopwatch, out: bytes, err: bytes
    ) -> Result:
        """The result of a command whose streams have ended."""
        status = self._sessions.exit_status(channel, command)
        awake, seconds = watch.awake(), watch.whole()
        if status in TIMED_OUT and awake < command.timeout and seconds - awake > GAP:
            reason = "this computer was suspended"
            raise self._sessions.lost(command, reason, suspended=True)
        if status in TIMED_OUT and seconds >= command.timeout:
            raise RemoteTimeout(
                f"{command.name} timed out after {command.timeout:g} s",
                node=self.node,
                hint="the node is busy or hangs: check its load and `dmesg`",
                data={"seconds": command.timeout},
            )
        log.debug("%s: %s: exit status %d", self.node, command.name, status)
        return Result(self.node, command, status, out, err, seconds)

    def _logged(self, command: Command) -> AbstractContextManager[None]:
        return _logged(self.node, command.name, command.shown)

    def _refuse_changes(self, command: Command) -> None:
        if self._read_only and command.mutates:
            raise SparkctlError(
                f"{command.name} is not allowed in a read-only command",
                node=self.node,
                hint="this is a bug in sparkctl; please report it",
                code="read-only",
            )


@contextmanager
def _logged(node: str, what: str, how: str) -> Iterator[None]:
    """Log the begin of something and its end, with its seconds."""
    log.debug("%s: %s: %s", node, what, how)
    start = time.monotonic()
    try:
        yield
    except SparkctlError as error:
        log.debug("%s: %s: failed after %.2f s: %s", node, what, time.monotonic() - start, error)
        raise
    log.debug("%s: %s: ended after %.2f s", node, what, time.monotonic() - start)


def _leave(context: AbstractContextManager[paramiko.Channel]) -> None:
    context.__exit__(None, None, None)
