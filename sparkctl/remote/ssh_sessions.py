"""The sessions of one transport: opened within bounds, never more than sshd allows, closed."""

from __future__ import annotations

import contextlib
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import paramiko

from sparkctl.errors import CommandError, ConnectError, RemoteError
from sparkctl.remote.interruptible import aside
from sparkctl.remote.ssh_io import NotStarted, Output, TooMuch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.remote.command import Command

OPEN_TIMEOUT = 20.0  # seconds for the server to open a channel and to start a command
STATUS_TIMEOUT = 5.0  # seconds from the end of the streams to the exit status
REFUSED_FOR = 3.0  # seconds until a refused session is believed to stay so
MAX_SESSIONS = 10  # sshd's own default for one connection (sshd_config(5), MaxSessions)


class Channels:
    """Channels with a command in each, on a logged-in transport; for several threads at once."""

    def __init__(
        self, node: str, transport: paramiko.Transport, start_timeout: float = OPEN_TIMEOUT
    ) -> None:
        self._node = node
        self._transport = transport
        self._start_timeout = start_timeout
        self._answered = threading.Event()
        self._free = threading.BoundedSemaphore(MAX_SESSIONS)
        # An event for each command under way that mutates, set when it has ended.
        self.changing: list[threading.Event] = []

    @contextmanager
    def session(self, command: Command) -> Iterator[paramiko.Channel]:
        """A channel with the command started in it, closed at the end.

        Raises ConnectError when the connection is lost, RemoteError when sshd refuses the session.
        """
        if not self._free.acquire(timeout=command.timeout + OPEN_TIMEOUT):
            raise RemoteError(
                f"{command.name} should have one of {MAX_SESSIONS} sessions, all are in use",
                node=self._node,
                hint="run the same command again",
            )
        ended = threading.Event()
        if command.mutates:
            self.changing.append(ended)
        try:
            channel = self._start(command)
            try:
                yield channel
            finally:
                channel.close()
        finally:
            self._free.release()
            if command.mutates:
                self.changing.remove(ended)
                ended.set()

    def output(self, deadline: float) -> Output:
        """A reader of stdout; the first command's has `start_timeout` seconds to start, any later
        one until `deadline` (a time.monotonic()): a busy node is slow, its login shell works.
        """
        by = deadline if self._answered.is_set() else time.monotonic() + self._start_timeout
        return Output(by, self._answered.set)

    def usable(self, channel: paramiko.Channel) -> bool:
        """Whether anything can still be sent in it."""
        return not channel.closed and self._transport.is_active()

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
            raise self.lost(command, error) from error
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
                return self._transport.open_session(timeout=OPEN_TIMEOUT)
            except paramiko.ChannelException as error:
                if time.monotonic() < deadline:
                    time.sleep(0.05)  # between two tries; the deadline ends them
                    continue
                raise RemoteError(
                    f"the node's sshd should open a session for {command.name}, it refused:"
                    f" {error.text}",
                    node=self._node,
                    hint=f"MaxSessions in its sshd_config should be {MAX_SESSIONS} (the default)"
                    " or more",
                ) from error
            except (paramiko.SSHException, OSError, EOFError) as error:
                raise self.lost(command, error) from error

    def kill(self, channel: paramiko.Channel) -> None:
        """End what runs in a channel: closing it leaves the process on the node.

        A request for a signal (RFC 4254, 6.9) reaches the whole process group. OpenSSH takes it
        since 7.9, from root since 9.8 [run with 9.2: refused for root]; where it does not, the
        command's own timeout(1) ends it, or nothing if the login shell hangs before that.
        """
        request = paramiko.Message()
        request.add_byte(paramiko.common.cMSG_CHANNEL_REQUEST)
        request.add_int(channel.remote_chanid)
        request.add_string("signal")
        request.add_boolean(False)
        request.add_string("KILL")
        with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
            if self.usable(channel):
                self._transport._send_user_message(request)  # type: ignore[attr-defined]
        channel.close()

    @contextmanager
    def bounded(self, channel: paramiko.Channel, command: Command) -> Iterator[None]:
        """Reading within bounds: what passes one is ended, and an error of this node.

        Raises CommandError for too much output, ConnectError for a login shell that hangs.
        """
        try:
            yield
        except TooMuch as error:
            aside(lambda: self.kill(channel))
            who = command.name if error.started else "the login shell"
            hint = "a login shell's start-up files (such as ~/.bashrc) must print nothing"
            raise CommandError(
                f"{who} printed more than {error.allowed / 2**20:g} MiB"
                + (" on stderr" if error.stream == "stderr" else ""),
                node=self._node,
                hint=None if error.started else hint,
            ) from error
        except NotStarted as error:
            aside(lambda: self.kill(channel))
            user = self._transport.get_username() or "the user"
            raise ConnectError(
                f"the login shell of {user} did not start a command within"
                f" {self._start_timeout:g} s",
                node=self._node,
                hint="a start-up file such as ~/.bashrc hangs or waits for input; try"
                " `ssh NODE true`; the shell may still run there",
            ) from error

    def status(self, channel: paramiko.Channel, command: Command) -> int:
        """The exit status of a command whose streams have ended.

        Raises CommandError when a signal ended it, ConnectError when the connection is lost.
        """
        if not channel.status_event.wait(STATUS_TIMEOUT):
            raise self.lost(command, "no exit status came")
        if channel.exit_status != -1:
            return channel.exit_status
        # No status: a signal (paramiko drops exit-signal), or the transport is just ending.
        self._transport.join(0.5)
        if not self._transport.is_active():
            raise self.lost(command, self._transport.get_exception() or "")
        raise CommandError(
            f"{command.name} was ended by a signal on the node",
            node=self._node,
            hint="`dmesg` there tells whether it was the out-of-memory killer",
        )

    def lost(self, command: Command, error: object = "") -> ConnectError:
        """What to tell when the connection ends under a command, or the node falls silent."""
        reason = f" ({error})" if str(error) else ""
        return ConnectError(
            f"connection lost while {command.name}{reason}",
            node=self._node,
            hint="is the node up? `ssh` to it by hand, then run the same command again",
        )
