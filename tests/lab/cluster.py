"""The tool as a user starts it, on the tests' own lab."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sparkctl.operations.lease import SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.lab.lab import Lab

# Each of pytest-xdist's workers has its own lab.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
BASE = Path(os.environ.get("SPARKCTL_TEST_LAB", "/var/lib/sparkctl-lab-test") + WORKER)
UP_TIMEOUT = 600.0


def environment(inventory: Path) -> dict[str, str]:
    return {**os.environ, "SPARKCTL_INVENTORY": str(inventory)}


@dataclass
class Cluster:
    """A lab, and an inventory for it that a test may have changed.

    `program` is the sparkctl that is run, with `variables` over this environment, in `folder`.
    """

    lab: Lab
    inventory: Path
    program: tuple[str, ...] = (sys.executable, "-m", "sparkctl")
    variables: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None

    def start(self, *args: str) -> subprocess.Popen[str]:
        """`sparkctl ARGS` in the background, its streams piped."""
        return subprocess.Popen(
            [*self.program, *args],
            env={**environment(self.inventory), **self.variables},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *args: str, code: int = 0, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """`sparkctl ARGS` to its end; it must end with the exit code `code`."""
        process = self.start(*args)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"{args} took over {timeout:g} s\n{out}\n{err}") from None
        assert process.returncode == code, f"exit {process.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(args, code, out, err)

    def error(self, *args: str, code: int = 1, timeout: float = 120) -> dict[str, Any]:
        """The error in the JSON document of `sparkctl ARGS`, which fails."""
        return failure(self.run(*args, "--json", code=code, timeout=timeout).stdout)

    def up(self, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """`sparkctl up`, which may have to compile."""
        return self.run("up", *args, code=code, timeout=UP_TIMEOUT)

    def on(self, node: str, *argv: str, check: bool = True, user: str = "root") -> str:
        """Run a shell command on a node, past sparkctl; gives what it prints."""
        done = subprocess.run(
            [*self.ssh(node, user), *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def ssh(self, node: str, user: str = "root") -> list[str]:
        """The argv of ssh(1) to a node."""
        base = self.lab.base
        address = next(n.address for n in self.lab.nodes if n.name == node)
        known = f"UserKnownHostsFile={base}/known_hosts"
        return ["ssh", "-i", f"{base}/client_key", "-o", known, f"{user}@{address}"]

    def changed(self, path: Path, **changes: Any) -> Cluster:
        """The same lab through an inventory with changed top-level values (dicts are merged)."""
        value = yaml.safe_load(self.inventory.read_text())
        for key, change in changes.items():
            merged = isinstance(change, dict)
            value[key] = {**value.get(key, {}), **change} if merged else change
        path.write_text(yaml.safe_dump(value))
        return replace(self, inventory=path)

    def traces(self) -> dict[str, list[str]]:
        """What sparkctl left on each node: processes, files, shared memory, mounts."""
        look = (
            "ps -eo args | grep -E 'raylet|gcs_server|vllm|ray::|VLLM|gang.py' | grep -v grep;"
            "find ~/.sparkctl 2>/dev/null;"
            "ls -d /dev/shm/* /tmp/* 2>/dev/null;"
            "mount | grep -E 'sparkctl-lab /|/tmp/' ; true"
        )
        found = {n.name: self.on(n.name, look).splitlines() for n in self.lab.nodes}
        return {name: lines for name, lines in found.items() if lines}


def until(cluster: Cluster, line: str, *command: str) -> tuple[subprocess.Popen[str], str]:
    """A command that has just printed this line of progress, and its progress so far."""
    process, seen = cluster.start(*command), ""
    assert process.stderr is not None
    for printed in process.stderr:
        seen += printed
        if line in printed:
            return process, seen
    raise AssertionError(f"{command} ended before {line!r}: {seen}")


def failure(stdout: str) -> dict[str, Any]:
    """The error in the JSON document of a command that failed."""
    error: dict[str, Any] = json.loads(stdout)["error"]
    return error


def unlocked(cluster: Cluster, *command: str) -> None:
    """Repeat a command until it is no longer refused: a lease that is not renewed expires."""
    deadline = time.monotonic() + 2 * SECONDS
    while True:
        process = cluster.start(*command, "--json")
        out, err = process.communicate(timeout=UP_TIMEOUT)
        if process.returncode != 1 or time.monotonic() > deadline:
            break
        assert failure(out)["code"] == "locked"
    assert process.returncode == 0, err
