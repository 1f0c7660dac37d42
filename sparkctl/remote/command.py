"""Commands as values; the only place where anything is quoted for a shell."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from sparkctl.errors import CommandError

KILL_GRACE = 5  # seconds between TERM and KILL on the node
LIMIT = 8 * 2**20  # bytes of stdout; a probe's answer has some ten thousand
# What the node prints once timeout(1) bounds the command: whatever comes before is the login
# shell's. Written with octal digits, so that a shell that prints its commands does not print it.
STARTED = b"\x1esparkctl\x1e\n"
BEGIN = r'printf "\036sparkctl\036\n"; exec "$@"'


@dataclass(frozen=True)
class Command:
    """One command for a node.

    `timeout` (seconds) holds on the node itself: coreutils' timeout(1) ends the whole process
    group there, because closing an SSH channel does not. `mutates` says whether it changes
    anything, for the gate that read-only commands pass through. `limit` is the most that it may
    print on stdout (bytes); more is an error of the node.
    """

    argv: tuple[str, ...]
    stdin: bytes = field(default=b"", repr=False)
    timeout: float = 60.0
    mutates: bool = True
    title: str = ""
    limit: int = LIMIT

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.title or self.argv[0]

    def shell(self) -> str:
        """The one string that sshd hands to the login shell."""
        bound = ("timeout", f"--kill-after={KILL_GRACE}", f"{self.timeout:g}")
        return shlex.join((*bound, "sh", "-c", BEGIN, "sh", *self.argv))


@dataclass(frozen=True)
class Result:
    """How a command ended: exit status and both streams, of a long stderr its two ends."""

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
            f"{self.command.name} ended with status {self.status}"
            + (": " + " | ".join(tail) if tail else ""),
            node=self.node,
        )
