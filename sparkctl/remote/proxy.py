"""ProxyCommand as a real socket; paramiko's own polls and leaves zombies."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import tempfile
import threading

END_TIMEOUT = 2.0  # seconds from closing the socket to SIGKILL


class ProxySocket(socket.socket):
    """One end of a socket pair; the program's stdin and stdout are the other."""

    def __init__(self, command: str) -> None:
        own, program = socket.socketpair()
        super().__init__(fileno=own.detach())
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (gone with this object)
        with program:
            # By a shell, as in ssh(1); in its own session, so that Ctrl-C does not end the
            # connection, which a rollback needs.
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=program.fileno(),
                stdout=program.fileno(),
                stderr=self._errors,
                start_new_session=True,
            )

    def last_error(self) -> str:
        """The last line that the program wrote to stderr, or ""; also works after close()."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_TIMEOUT / 4)  # it may be about to exit
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def exited(self) -> bool:
        """Whether the program ended before close()."""
        return self._process.poll() not in (None, -signal.SIGTERM)

    def close(self) -> None:
        """Close the socket and end the program, without waiting for it."""
        if self.fileno() == -1:
            return
        with contextlib.suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)
        super().close()
        self._process.terminate()
        threading.Thread(target=self._reap, daemon=True).start()

    def _reap(self) -> None:
        try:
            self._process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
