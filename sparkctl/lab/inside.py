"""Running a program in the namespaces of one of the lab's nodes, past its sshd."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.errors import SparkctlError
from sparkctl.lab.node import PATH
from sparkctl.lab.spec import MARK, NodeSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SPACES = ("--mount", "--uts", "--ipc", "--net", "--pid")
TIMEOUT = 120.0  # seconds; the slowest, `ray start`, takes ten


@dataclass(frozen=True)
class Inside:
    """A running node; `pid` is that of its first process, as this machine counts."""

    node: NodeSpec
    pid: int

    def signal(self, number: int) -> None:
        """Send a signal to the node's first process; raises SparkctlError when it has ended."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            raise SparkctlError(
                "the lab has lost it",
                node=self.node.name,
                hint=f"`sparkctl lab down --dir {self.node.base}`, then up again",
            ) from None

    def run(self, *argv: str, text: str = "", environment: Mapping[str, str] | None = None) -> str:
        """What a program prints that gets `text` as its stdin; raises SparkctlError."""
        return run(
            ["nsenter", f"--target={self.pid}", *SPACES, "--", *argv],
            text=text,
            environment={
                "PATH": PATH,
                "HOME": "/root",
                "HOSTNAME": self.node.name,
                MARK: str(self.node.base),
                **(environment or {}),
            },
            where=self.node.name,
            shown=argv,
        )


def run(
    argv: Sequence[str],
    *,
    text: str = "",
    environment: Mapping[str, str] | None = None,
    where: str | None = None,
    shown: Sequence[str] = (),
) -> str:
    """What a program of this machine prints; its failure as SparkctlError, `shown` in its stead."""
    said = " ".join(shown or argv)
    said = said if len(said) < 200 else f"{said[:200]} …"
    try:
        done = subprocess.run(
            argv,
            input=text,
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SparkctlError(f"`{said}` did not end within {TIMEOUT:g} s", node=where) from None
    if done.returncode:
        why = done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}"
        raise SparkctlError(f"`{said}` failed: {why}", node=where)
    return done.stdout
