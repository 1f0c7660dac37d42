"""A running node of the lab, and programs run in its namespaces, past its sshd."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.errors import SparkctlError
from sparkctl.lab.errors import nodes_lost
from sparkctl.lab.node import PATH
from sparkctl.lab.spec import MARK, NodeSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid")
TIMEOUT = 120.0  # seconds; the slowest, `ray start`, takes ten
SHOWN = 200  # characters of a command line in an error


@dataclass(frozen=True)
class RunningNode:
    """A running node; `pid` is its first process's in this machine's pid namespace."""

    node: NodeSpec
    pid: int

    def signal(self, number: int) -> None:
        """Send a signal to the node's first process; raises SparkctlError when it has ended."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            raise nodes_lost(self.node.base, [self.node.name]) from None

    def run(self, *argv: str, text: str = "", environment: Mapping[str, str] | None = None) -> str:
        """Run a program on the node with `text` as its stdin; gives its stdout.

        Raises SparkctlError when it fails or takes longer than TIMEOUT.
        """
        own = {"PATH": PATH, "HOME": "/root", "HOSTNAME": self.node.name}
        own[MARK] = str(self.node.base)
        return run(
            ["nsenter", f"--target={self.pid}", *NAMESPACES, "--", *argv],
            text=text,
            environment={**own, **(environment or {})},
            node=self.node.name,
            shown=argv,
        )


def run(
    argv: Sequence[str],
    *,
    text: str = "",
    environment: Mapping[str, str] | None = None,
    node: str | None = None,
    shown: Sequence[str] = (),
) -> str:
    """Run a program of this machine; gives its stdout.

    Raises SparkctlError, which shows the command line `shown` if it is given.
    """
    line = " ".join(shown or argv)
    line = line if len(line) < SHOWN else f"{line[:SHOWN]} …"
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
        raise SparkctlError(
            f"`{line}` timed out after {TIMEOUT:g} s", node=node, code="lab-command-timeout"
        ) from None
    if done.returncode:
        why = done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}"
        raise SparkctlError(
            f"`{line}` failed: {why}",
            node=node,
            code="lab-command-failed",
            data={"argv": list(shown or argv), "status": done.returncode},
        )
    return done.stdout
