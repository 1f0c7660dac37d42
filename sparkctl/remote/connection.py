"""One SSH connection to a node: running commands on it, and streaming from it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import paramiko

from sparkctl.errors import CommandError, ConnectError, RemoteError, RemoteTimeout, SparkctlError
from sparkctl.inventory.models import Ssh
from sparkctl.remote import login, streams
from sparkctl.remote.command import KILL_GRACE, Command, Result

TIMED_OUT = (124, 137)  # timeout(1): after TERM, and after KILL
OPEN_TIMEOUT = 20.0  # seconds for the server to open a channel and to start a command
STATUS_TIMEOUT = 5.0  # seconds from the end of the streams to the exit status
REFUSED_FOR = 3.0  # seconds until a refused session is believed to stay so
MAX_SESSIONS = 10  # sshd's own default for one connection (sshd_config(5), MaxSessions)


def connect(node: str, host: str, ssh: Ssh, *, read_only: bool = False) -> Connection:
    """Connect and log in to a node, through its jump hosts.

    Raises ConnectError, HostKeyError or AuthError.
    """
    return Connection(node, login.open_transport(node, host, ssh), read_only=read_only)


class Connection:
    """A logged-in transport; several threads may run commands on it at once.

    With `read_only`, a command that `mutates` is refused.
    """

    def __init__(
        self, node: str, transports: list[paramiko.Transport], *, read_only: bool = False
    ) -> None:
        self.node = node
        self._transports = transports
        self._read_only = read_only
        self._sessions = threading.BoundedSemaphore(MAX_SESSIONS)

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
        for transport in reversed(self._transports):
            transport.close()

    def run(self, command: Command) -> Result:
        """Run a command to its end, both streams drained at once.

        Raises RemoteTimeout when it outlived its bound (it was ended on the node), CommandError
        when a signal ended it, ConnectError when the connection was lost or the node fell silent.
        """
        with self._session(command) as channel:
            start = time.monotonic()
            deadline = start + command.timeout + KILL_GRACE + OPEN_TIMEOUT
            stdout, stderr = streams.exchange(channel, command.stdin, deadline)
            if time.monotonic() > deadline and not channel.exit_status_ready():
                waited = f"no answer for {deadline - start:g} s"
                raise self._lost(command, waited)
            status = self._status(channel, command)
            seconds = time.monotonic() - start
        if status in TIMED_OUT and seconds >= command.timeout:
            raise self._timed_out(command)
        return Result(self.node, command, status, stdout, stderr, seconds)

    @contextmanager
    def stream(self, command: Command, *, timeout: float = 1.0) -> Iterator[Iterator[str | None]]:
        """The lines of a long-lived command's stdout; None after each silent `timeout` (seconds).

        The command's stdin stays open until the block is left; its end tells it to stop. The
        iterator ends with the command. It raises ConnectError when the connection is lost,
        RemoteTimeout or CommandError when the command ended with a status other than 0.
        """
        with self._session(command) as channel:
            channel.settimeout(OPEN_TIMEOUT)
            try:
                channel.sendall(command.stdin)
            except OSError as error:
                raise self._lost(command, error) from error
            try:
                yield self._lines(channel, command, timeout)
            finally:
                if not channel.closed and self._transports[-1].is_active():
                    channel.shutdown_write()

    def _lines(
        self, channel: paramiko.Channel, command: Command, timeout: float
    ) -> Iterator[str | None]:
        start, errors = time.monotonic(), bytearray()
        yield from streams.lines(channel, timeout, errors)
        status = self._status(channel, command)
        seconds = time.monotonic() - start
        if status in TIMED_OUT and seconds >= command.timeout:
            raise self._timed_out(command)
        Result(self.node, command, status, b"", bytes(errors), seconds).check()

    @contextmanager
    def _session(self, command: Command) -> Iterator[paramiko.Channel]:
        """A channel with the command started in it, closed at the end."""
        if self._read_only and command.mutates:
            raise SparkctlError(
                f"refused: {_name(command)} would change the node, and this command only reads",
                node=self.node,
                hint="this is a bug in sparkctl; please report it",
            )
        if not self._sessions.acquire(timeout=command.timeout + OPEN_TIMEOUT):
            raise RemoteError(
                f"{_name(command)} should have one of {MAX_SESSIONS} sessions, all are in use",
                node=self.node,
                hint="run the same command again",
            )
        try:
            channel = self._start(command)
            try:
                yield channel
            finally:
                channel.close()
        finally:
            self._sessions.release()

    def _start(self, command: Command) -> paramiko.Channel:
        channel = self._open(command)
        # exec_command waits for the server without a bound of its own.
        bound = threading.Timer(OPEN_TIMEOUT, channel.close)
        bound.daemon = True
        bound.start()
        try:
            channel.exec_command(command.shell())
        except (paramiko.SSHException, OSError, EOFError) as error:
            channel.close()
            raise self._lost(command, error) from error
        finally:
            bound.cancel()
        return channel

    def _open(self, command: Command) -> paramiko.Channel:
        """A session; one that is refused is asked for again, for a moment.

        sshd counts a session that we have closed until it has reaped what ran in it.
        """
        deadline = time.monotonic() + REFUSED_FOR
        while True:
            try:
                return self._transports[-1].open_session(timeout=OPEN_TIMEOUT)
            except paramiko.ChannelException as error:
                if time.monotonic() < deadline:
                    time.sleep(0.05)  # between two tries; the deadline ends them
                    continue
                raise RemoteError(
                    f"the node's sshd should open a session for {_name(command)}, it refused:"
                    f" {error.text}",
                    node=self.node,
                    hint=f"MaxSessions in its sshd_config should be {MAX_SESSIONS} (the default)"
                    " or more",
                ) from error
            except (paramiko.SSHException, OSError, EOFError) as error:
                raise self._lost(command, error) from error

    def _status(self, channel: paramiko.Channel, command: Command) -> int:
        """The exit status of a command whose streams have ended."""
        if not channel.status_event.wait(STATUS_TIMEOUT):
            raise self._lost(command, "no exit status came")
        if channel.exit_status != -1:
            return channel.exit_status
        # No status: a signal (paramiko drops exit-signal), or the transport is just ending.
        transport = self._transports[-1]
        transport.join(0.5)
        if not transport.is_active():
            raise self._lost(command, transport.get_exception() or "")
        raise CommandError(
            f"{_name(command)} was ended by a signal on the node",
            node=self.node,
            hint="`dmesg` there tells whether it was the out-of-memory killer",
        )

    def _lost(self, command: Command, error: object = "") -> ConnectError:
        reason = f" ({error})" if str(error) else ""
        return ConnectError(
            f"connection lost while {_name(command)}{reason}",
            node=self.node,
            hint="is the node up? `ssh` to it by hand, then run the same command again",
        )

    def _timed_out(self, command: Command) -> RemoteTimeout:
        return RemoteTimeout(
            f"{_name(command)} was ended after {command.timeout:g} s",
            node=self.node,
            hint="the node is busy or hangs: look at its load and `dmesg`",
        )


def _name(command: Command) -> str:
    return command.title or command.argv[0]
