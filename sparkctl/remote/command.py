"""Commands as values; the only place where anything is quoted for a shell."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from sparkctl.errors import CommandError

KILL_GRACE = 5  # seconds between TERM and KILL on the node


@dataclass(frozen=True)
class Command:
    """One command for a node.

    `timeout` (seconds) holds on the node itself: coreutils' timeout(1) ends the whole process
    group there, because closing an SSH channel does not. `mutates` says whether it changes
    anything, for the gate that read-only commands pass through.
    """

    argv: tuple[str, ...]
    stdin: bytes = field(default=b"", repr=False)
    timeout: float = 60.0
    mutates: bool = True
    title: str = ""

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.title or self.argv[0]

    def shell(self) -> str:
        """The one string that sshd hands to the login shell."""
        bound = ("timeout", f"--kill-after={KILL_GRACE}", f"{self.timeout:g}")
        return shlex.join((*bound, *self.argv))


@dataclass(frozen=True)
class Result:
    """How a command ended: exit status and both streams."""

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
