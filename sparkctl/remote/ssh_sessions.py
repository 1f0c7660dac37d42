"""The SSH sessions of one connection: at most as many as sshd allows, all limited in time."""

from __future__ import annotations

import contextlib
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import paramiko

from sparkctl.errors import CommandError, ConnectError, RemoteError
from sparkctl.remote.fanout import is_left
from sparkctl.remote.interruptible import aside
from sparkctl.remote.ssh_io import OutputTooLarge, StartTimeout, StdoutReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.remote.command import Command

OPEN_TIMEOUT = 20.0  # seconds for the server to open a channel and to start a command
STATUS_TIMEOUT = 5.0  # seconds from the end of the streams to the exit status
REFUSED_FOR = 3.0  # seconds to retry a refused session
MAX_SESSIONS = 10  # sshd's default for one connection (sshd_config(5), MaxSessions)


class Sessions:
    """Sessions of one command each on a logged-in transport, for several threads at once."""

    def __init__(
        self, node: str, transport: paramiko.Transport, start_timeout: float = OPEN_TIMEOUT
    ) -> None:
        self._node = node
        self._transport = transport
        self._start_timeout = start_timeout
        self._answered = threading.Event()
        self._free = threading.BoundedSemaphore(MAX_SESSIONS)
        # An event for each running command that mutates, set when it has ended.
        self.changing: list[threading.Event] = []

    @contextmanager
    def session(self, command: Command) -> Iterator[paramiko.Channel]:
        """A session with the command started in it; it is closed at the end.

        Raises ConnectError when the connection is lost, RemoteError when there is no free session,
        KeyboardInterrupt for a change after Ctrl-C has ended the wait for it.
        """
        if not self._free.acquire(timeout=command.timeout + OPEN_TIMEOUT):
            raise RemoteError(
                f"no free SSH session for {command.name} (limit {MAX_SESSIONS})",
                node=self._node,
                hint="run the same command again",
                code="session-limit",
                data={"limit": MAX_SESSIONS},
            )
        ended = threading.Event()
        if command.mutates:
            self.changing.append(ended)
        try:
            if command.mutates and is_left():
                # The rollback may be over: it has waited for what was in `changing` before.
                raise KeyboardInterrupt
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

    def reader(self, limit: float) -> StdoutReader:
        """A reader of stdout; the first command may take `start_timeout` seconds to start.

        Any later one may take `limit` seconds: the login shell works, so the node is busy.
        """
        within = limit if self._answered.is_set() else self._start_timeout
        return StdoutReader(within, self._answered.set)

    def is_open(self, channel: paramiko.Channel) -> bool:
        """Whether anything can still be sent on it."""
        return not channel.closed and self._transport.is_active()

    def _start(self, command: Command) -> paramiko.Channel:
        channel = self._open(command)
        # exec_command waits for the server without a timeout.
        timer = threading.Timer(OPEN_TIMEOUT, channel.close)
        timer.daemon = True
        timer.start()
        try:
            channel.exec_command(command.shell())
        except (paramiko.SSHException, OSError, EOFError) as error:
            channel.close()
            raise self.lost(command, error) from error
        finally:
            timer.cancel()
        return channel

    def _open(self, command: Command) -> paramiko.Channel:
        """A session; retried for REFUSED_FOR seconds if sshd refuses it.

        sshd counts a closed session until it has reaped the session's process.
        """
        deadline = time.monotonic() + REFUSED_FOR
        while True:
            try:
                return self._transport.open_session(timeout=OPEN_TIMEOUT)
            except paramiko.ChannelException as error:
                if time.monotonic() < deadline:
                    time.sleep(0.05)  # interval between retries
                    continue
                raise RemoteError(
                    f"sshd refused a session for {command.name}: {error.text}",
                    node=self._node,
                    hint=f"set MaxSessions in its sshd_config to {MAX_SESSIONS} (the default) or"
                    " more",
                    code="session-refused",
                ) from error
            except (paramiko.SSHException, OSError, EOFError) as error:
                # Of two sessions that are refused at once one gets no reason (paramiko 5.1,
                # Transport.get_exception clears it).
                refused = isinstance(error, paramiko.SSHException) and self._transport.is_active()
                if refused and time.monotonic() < deadline:
                    time.sleep(0.05)  # interval between retries
                    continue
                raise self.lost(command, error, sent=False) from error

    def kill(self, channel: paramiko.Channel) -> None:
        """Kill the command in a channel: closing the channel leaves its process on the node.

        A request for a signal (RFC 4254, 6.9) reaches the whole process group. OpenSSH supports it
        since 7.9, as root since 9.8 [run with 9.2: refused for root]; before, the command's own
        timeout(1) ends it, or nothing if the login shell hangs before that.
        """
        request = paramiko.Message()
        request.add_byte(paramiko.common.cMSG_CHANNEL_REQUEST)
        request.add_int(channel.remote_chanid)
        request.add_string("signal")
        request.add_boolean(False)
        request.add_string("KILL")
        with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
            if self.is_open(channel):
                # The stubs leave it out; paramiko has no public way to send this request.
                self._transport._send_user_message(request)  # type: ignore[attr-defined]  # not in the stubs
        channel.close()

    @contextmanager
    def limited(self, channel: paramiko.Channel, command: Command) -> Iterator[None]:
        """Kill the command that exceeds a limit of its reader.

        Raises CommandError for too much output, ConnectError for a login shell that hangs or a
        connection that is lost.
        """
        try:
            yield
        except OutputTooLarge as error:
            aside(lambda: self.kill(channel))
            raise self._too_large(command, error) from error
        except StartTimeout as error:
            aside(lambda: self.kill(channel))
            user = self._transport.get_username() or "the user"
            raise ConnectError(
                f"the login shell of {user} started no command within {self._start_timeout:g} s",
                node=self._node,
                hint="a start-up file such as ~/.bashrc hangs or waits for input; try"
                " `ssh NODE true`; the shell may still run there",
                code="login-shell-timeout",
                data={"user": user, "seconds": self._start_timeout},
            ) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self.lost(command, error) from error

    def _too_large(self, command: Command, error: OutputTooLarge) -> CommandError:
        program = command.name if error.started else "the login shell"
        hint = "a login shell's start-up files (such as ~/.bashrc) must print nothing"
        return CommandError(
            f"{program} printed more than {error.limit / 2**20:g} MiB"
            + (" on stderr" if error.stream == "stderr" else ""),
            node=self._node,
            hint=None if error.started else hint,
            code="output-too-large" if error.started else "login-shell-output",
            data={"stream": error.stream, "limit": error.limit},
        )

    def exit_status(self, channel: paramiko.Channel, command: Command) -> int:
        """The exit status of a command whose streams have ended.

        Raises CommandError when a signal ended it, ConnectError when the connection is lost.
        """
        if not channel.status_event.wait(STATUS_TIMEOUT):
            raise self.lost(command, "no exit status")
        if channel.exit_status != -1:
            return channel.exit_status
        # No status: a signal (paramiko drops exit-signal), or the transport is just ending.
        self._transport.join(0.5)
        if not self._transport.is_active():
            raise self.lost(command, self._transport.get_exception())
        raise CommandError(
            f"{command.name} was killed by a signal on the node",
            node=self._node,
            hint="check `dmesg` there for the out-of-memory killer",
            code="killed",
        )

    def lost(
        self,
        command: Command,
        reason: Exception | str | None,
        *,
        sent: bool = True,
        suspended: bool = False,
    ) -> ConnectError:
        """The error for a connection that ended during a command, or a node without an answer.

        `sent`: whether the command may have reached the node; `suspended`: it timed out there
        while this computer slept, and the connection may still stand.
        """
        if isinstance(reason, (EOFError, ConnectionError)):
            # A write failed. The thread that reads learns of it only behind all that came before.
            self._transport.close()
        why = f" ({reason})" if reason and str(reason) else ""
        return ConnectError(
            f"connection lost while {command.name}{why}",
            node=self._node,
            hint="check that the node is up with `ssh`, then run the command again",
            code="connection-lost",
            data={"sent": sent, "suspended": suspended},
        )
