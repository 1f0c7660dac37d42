"""One SSH connection to a node: running commands on it, and streaming from it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

import paramiko

from sparkctl.errors import ConnectError, RemoteTimeout, SparkctlError
from sparkctl.inventory.models import Ssh
from sparkctl.remote import login
from sparkctl.remote.command import KILL_GRACE, Command, Result

CHUNK = 1 << 16
TIMED_OUT = (124, 137)  # timeout(1): after TERM, and after KILL
OPEN_TIMEOUT = 20.0  # seconds for the server to open a channel


def connect(node: str, host: str, ssh: Ssh, *, read_only: bool = False) -> Connection:
    """Connect and log in to a node, through its jump hosts.

    Raises ConnectError, HostKeyError or AuthError.
    """
    return Connection(node, login.open_transport(node, host, ssh), read_only=read_only)


class Connection:
    """A logged-in transport; several threads may run commands on it at once."""

    def __init__(
        self, node: str, transports: list[paramiko.Transport], *, read_only: bool = False
    ) -> None:
        self.node = node
        self._transports = transports
        self._read_only = read_only

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

    def _channel(self, command: Command) -> paramiko.Channel:
        if self._read_only and command.mutates:
            raise SparkctlError(
                f"refused: {command.title or command.argv[0]} would change the node, and this"
                " command only reads",
                node=self.node,
                hint="this is a bug in sparkctl; please report it",
            )
        try:
            channel = self._transports[-1].open_session(timeout=OPEN_TIMEOUT)
            channel.exec_command(command.shell())
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._lost(command, error) from error
        return channel

    def _lost(self, command: Command, error: object = "") -> ConnectError:
        reason = f" ({error})" if str(error) else ""
        return ConnectError(
            f"connection lost while {command.title or command.argv[0]}{reason}",
            node=self.node,
            hint="is the node up? `ssh` to it by hand, then run the same command again",
        )

    def run(self, command: Command) -> Result:
        """Run a command to its end, both streams drained at once.

        Raises RemoteTimeout when it outlived its bound (it was ended on the node), ConnectError
        when the connection was lost.
        """
        start = time.monotonic()
        deadline = start + command.timeout + KILL_GRACE + OPEN_TIMEOUT
        channel = self._channel(command)
        try:
            stdout, stderr = self._drain(channel, command, deadline)
            while not channel.exit_status_ready():
                if channel.closed and not channel.status_event.wait(1.0):
                    raise self._lost(command)
                if time.monotonic() > deadline:
                    raise self._lost(command, "the node fell silent")
                channel.status_event.wait(0.5)
            status = channel.recv_exit_status()
        finally:
            channel.close()
        seconds = time.monotonic() - start
        if status == -1:
            raise self._lost(command)
        if status in TIMED_OUT and seconds >= command.timeout:
            raise RemoteTimeout(
                f"{command.title or command.argv[0]} was ended after {command.timeout:g} s",
                node=self.node,
                hint="the node is busy or hangs: look at its load and `dmesg`",
            )
        return Result(self.node, command, status, stdout, stderr, seconds)

    def _drain(
        self, channel: paramiko.Channel, command: Command, deadline: float
    ) -> tuple[bytes, bytes]:
        """Write stdin and read both streams, none waiting for another (design.md, Paramiko)."""
        channel.settimeout(1.0)
        streams = {"out": bytearray(), "err": bytearray()}

        def write() -> None:
            sent = 0
            try:
                while sent < len(command.stdin) and time.monotonic() < deadline:
                    try:
                        sent += channel.send(command.stdin[sent : sent + CHUNK])
                    except TimeoutError:
                        continue
                channel.shutdown_write()
            except OSError:
                pass  # the command ended without reading all of it: its status tells

        def read_errors() -> None:
            self._read(channel.recv_stderr, streams["err"], deadline)

        threads = [threading.Thread(target=t, daemon=True) for t in (write, read_errors)]
        for thread in threads:
            thread.start()
        self._read(channel.recv, streams["out"], deadline)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return bytes(streams["out"]), bytes(streams["err"])

    def _read(self, receive: Callable[[int], bytes], into: bytearray, deadline: float) -> None:
        while time.monotonic() < deadline and self._transports[-1].is_active():
            try:
                data = receive(CHUNK)
            except TimeoutError:
                continue
            if not data:
                return
            into += data

    @contextmanager
    def stream(self, command: Command, *, timeout: float = 1.0) -> Iterator[Iterator[str | None]]:
        """The lines of a long-lived command's stdout; None after each silent `timeout`.

        The command's stdin stays open until the block is left; its end tells it to stop.
        Raises ConnectError when the connection is lost.
        """
        channel = self._channel(command)
        try:
            channel.settimeout(OPEN_TIMEOUT)
            channel.sendall(command.stdin)
            channel.settimeout(timeout)
            yield self._lines(channel, command)
        except (TimeoutError, OSError) as error:
            raise self._lost(command, error) from error
        finally:
            if not channel.closed:
                channel.shutdown_write()
            channel.close()

    def _lines(self, channel: paramiko.Channel, command: Command) -> Iterator[str | None]:
        rest = b""
        while True:
            if channel.recv_stderr_ready():
                channel.recv_stderr(CHUNK)
            try:
                data = channel.recv(CHUNK)
            except TimeoutError:
                if not self._transports[-1].is_active():
                    raise self._lost(command) from None
                yield None
                continue
            if not data:
                if not self._transports[-1].is_active():
                    raise self._lost(command)
                return
            *lines, rest = (rest + data).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)
