"""Commands as values; the only place where anything is quoted for a shell."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from sparkctl.errors import CommandError

KILL_GRACE = 5  # seconds between SIGTERM and SIGKILL on the node
WORD = 200  # characters of one word of a command line in a log
LIMIT = 8 * 2**20  # bytes of stdout; a probe's answer has about 10,000
# Printed on the node when timeout(1) has started: any output before is the login shell's. BEGIN
# has it in octal, so that a shell that prints its commands does not print it.
STARTED = b"\x1esparkctl\x1e\n"
BEGIN = r'printf "\036sparkctl\036\n"; exec "$@"'


@dataclass(frozen=True)
class Command:
    """One command for a node.

    `timeout` (seconds) holds on the node itself: coreutils' timeout(1) kills the whole process
    group there, because closing an SSH channel does not. A connection that is read-only refuses
    a command that `mutates` the node. `limit` is how much it may print on stdout (bytes).
    """

    argv: tuple[str, ...]
    stdin: bytes = field(default=b"", repr=False)
    timeout: float = 60.0
    mutates: bool = True
    title: str = ""
    limit: int = LIMIT

    @property
    def name(self) -> str:
        """Its name in messages."""
        return self.title or self.argv[0]

    @property
    def shown(self) -> str:
        """The command line for a log, where a program takes one word's place."""
        words = (w if len(w) <= WORD else f"({len(w)} characters)" for w in self.argv)
        return f"{shlex.join(words)} (time-out {self.timeout:g} s)"

    def shell(self) -> str:
        """The string that sshd passes to the login shell."""
        bound = ("timeout", f"--kill-after={KILL_GRACE}", f"{self.timeout:g}")
        return shlex.join((*bound, "sh", "-c", BEGIN, "sh", *self.argv))


@dataclass(frozen=True)
class Result:
    """Exit status and output of a command; of a long stderr only its beginning and end."""

    node: str
    command: Command
    status: int
    stdout: bytes
    stderr: bytes
    seconds: float

    def check(self) -> Result:
        """Return self when the status is 0.

        Raises CommandError with the last lines of stderr otherwise.
        """
        if self.status == 0:
            return self
        tail = self.stderr.decode(errors="replace").strip().splitlines()[-5:]
        raise CommandError(
            f"{self.command.name} failed with exit status {self.status}"
            + (": " + " | ".join(tail) if tail else ""),
            node=self.node,
            code="exit-status",
            data={"status": self.status, "stderr": tail},
        )
