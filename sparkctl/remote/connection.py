"""One SSH connection to a node: running commands on it, and streaming from it."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from sparkctl.errors import RemoteTimeout, SparkctlError
from sparkctl.remote import login, ssh_io
from sparkctl.remote.command import KILL_GRACE, Command, Result
from sparkctl.remote.interruptible import aside
from sparkctl.remote.ssh_sessions import OPEN_TIMEOUT, Channels

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from types import TracebackType

    import paramiko

    from sparkctl.inventory.models import Ssh

LEAST_START = 5.0  # seconds that a login shell has to start a command: a busy node needs some
TIMED_OUT = (124, 137)  # timeout(1): after TERM, and after KILL


def connect(node: str, host: str, ssh: Ssh, *, read_only: bool = False) -> Connection:
    """Connect and log in to a node, through its jump hosts.

    Raises ConnectError, HostKeyError or AuthError.
    """
    return Connection(
        node,
        login.open_transport(node, host, ssh),
        read_only=read_only,
        start_timeout=max(ssh.connect_timeout, LEAST_START),
    )


class Connection:
    """A logged-in transport; several threads may run commands on it at once.

    With `read_only`, a command that `mutates` is refused. Ctrl-C leaves what is under way running
    on the node, and the connection as good as before.
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
        self._channels = Channels(node, transports[-1], start_timeout)
        self._read_only = read_only
        self._waited: list[str] = []  # the names of the commands that `run` waits for

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

    def changing(self) -> list[threading.Event]:
        """An event for each command under way here that mutates, set when it has ended."""
        return list(self._channels.changing)

    def waiting(self) -> list[str]:
        """The names of the commands whose end somebody waits for here."""
        return list(self._waited)

    def run(self, command: Command) -> Result:
        """Run a command to its end, both streams drained at once.

        Raises RemoteTimeout when it outlived its bound (it was ended on the node), CommandError
        when a signal ended it or it printed more than its limit, ConnectError when the connection
        was lost, the node fell silent or the login shell did not start the command.
        """
        self._refuse_changes(command)
        self._waited.append(command.name)
        try:
            return aside(lambda: self._run(command))
        finally:
            self._waited.remove(command.name)

    def _run(self, command: Command) -> Result:
        with self._channels.session(command) as channel:
            start = time.monotonic()
            deadline = start + command.timeout + KILL_GRACE + OPEN_TIMEOUT
            output = self._channels.output(deadline)
            with self._channels.bounded(channel, command):
                stdout, stderr = ssh_io.exchange(
                    channel, command.stdin, output, deadline, command.limit
                )
            if time.monotonic() > deadline and not channel.exit_status_ready():
                self._channels.kill(channel)
                waited = f"no answer for {deadline - start:g} s"
                raise self._channels.lost(command, waited)
            return self._result(channel, command, start, stdout, stderr)

    @contextmanager
    def stream(self, command: Command, *, timeout: float = 1.0) -> Iterator[Iterator[str | None]]:
        """The lines of a long-lived command's stdout; None after each silent `timeout` (seconds).

        The command's stdin stays open until the block is left; its end tells it to stop. The
        iterator ends with the command. It raises ConnectError when the connection is lost,
        RemoteTimeout or CommandError when the command ended with a status other than 0,
        CommandError too at a line without an end.
        """
        self._refuse_changes(command)
        fed = self._fed(command)
        channel = aside(fed.__enter__, abandoned=lambda _: _leave(fed))
        try:
            yield self._lines(channel, command, timeout)
        finally:
            aside(lambda: _leave(fed))

    @contextmanager
    def _fed(self, command: Command) -> Iterator[paramiko.Channel]:
        with self._channels.session(command) as channel:
            channel.settimeout(OPEN_TIMEOUT)
            try:
                channel.sendall(command.stdin)
            except OSError as error:
                raise self._channels.lost(command, error) from error
            yield channel
            if self._channels.usable(channel):
                channel.shutdown_write()

    def _lines(
        self, channel: paramiko.Channel, command: Command, timeout: float
    ) -> Iterator[str | None]:
        start, errors = time.monotonic(), ssh_io.Ends()
        output = self._channels.output(start + command.timeout)
        batches = ssh_io.lines(channel, timeout, output, errors)
        with self._channels.bounded(channel, command):
            while (batch := aside(lambda: next(batches, None))) is not None:
                yield from batch
        aside(lambda: self._result(channel, command, start, b"", errors.value()).check())

    def _result(
        self, channel: paramiko.Channel, command: Command, start: float, out: bytes, err: bytes
    ) -> Result:
        """How a command whose streams have ended did end."""
        status = self._channels.status(channel, command)
        seconds = time.monotonic() - start
        if status in TIMED_OUT and seconds >= command.timeout:
            raise RemoteTimeout(
                f"{command.name} was ended after {command.timeout:g} s",
                node=self.node,
                hint="the node is busy or hangs: look at its load and `dmesg`",
            )
        return Result(self.node, command, status, out, err, seconds)

    def _refuse_changes(self, command: Command) -> None:
        if self._read_only and command.mutates:
            raise SparkctlError(
                f"refused: {command.name} would change the node, and this command only reads",
                node=self.node,
                hint="this is a bug in sparkctl; please report it",
            )


def _leave(context: AbstractContextManager[object]) -> None:
    context.__exit__(None, None, None)
