"""ProxyCommand as a real socket, which paramiko's own is not: it polls and leaves zombies."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import threading

END_TIMEOUT = 2.0  # seconds between the closed socket and KILL


class ProxySocket(socket.socket):
    """One end of a socket pair; the program's stdin and stdout are the other."""

    def __init__(self, command: str) -> None:
        ours, theirs = socket.socketpair()
        super().__init__(fileno=ours.detach())
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (gone with this object)
        with theirs:
            # A shell, as ssh(1) does; a session of its own, so that Ctrl-C does not cut the
            # connection that is needed to undo.
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._errors,
                start_new_session=True,
            )

    def complaint(self) -> str:
        """The last line that the program wrote to stderr, if any; may be asked after close()."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_TIMEOUT / 4)  # it may be just about to end
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

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
