"""The node that a fault is applied to: each change is made after its undo is in the journal."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.lab.faults.journal import LAB, Undo
from sparkctl.lab.node import FAULT_FILES
from sparkctl.lab.running import RunningNode, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sparkctl.lab.existing import Lab
    from sparkctl.lab.spec import NodeSpec

MARK = "SPARKCTL_LAB_FAULT"  # in the environment of what a fault starts
WAIT = 15  # seconds for a change to take effect; a serving node is the slowest

WRITE = 'cat >"$1" && chmod "$2" "$1"'
# A bind mount hides a file without changing it. Where there is no file, or a dangling link, a copy
# takes its place.
COVER = """\
if [ -e "$2" ]; then exec mount --bind "$1" "$2"; fi
if [ -L "$2" ]; then mv -T "$2" "$1.link"; fi
cp --preserve=mode "$1" "$2"
"""
UNCOVER = """\
if mountpoint --quiet "$2"; then exec umount "$2"; fi
rm --force "$2"
if [ -L "$1.link" ]; then mv -T "$1.link" "$2"; fi
"""
DAEMON = 'log="$1"; shift; exec setsid --fork "$@" >"$log" 2>&1 </dev/null'


@dataclass(frozen=True)
class Target:
    """A running node, for one fault; each method raises SparkctlError when its command fails."""

    lab: Lab
    running: RunningNode
    fault: str
    record: Callable[[Undo], None]

    @property
    def node(self) -> NodeSpec:
        """The node's names and addresses."""
        return self.running.node

    @property
    def folder(self) -> Path:
        """The fault's folder on the node; the engine makes and removes it."""
        return FAULT_FILES / self.fault

    @property
    def mark(self) -> dict[str, str]:
        """The environment variable by which the fault's processes are found."""
        return {MARK: f"{self.node.name}/{self.fault}"}

    def run(self, *argv: str, text: str = "", environment: Mapping[str, str] | None = None) -> str:
        """Run a program that changes nothing outside the fault's folder; gives its stdout."""
        return self.running.run(*argv, text=text, environment=environment)

    def change(self, do: str | list[str], undo: str | list[str]) -> None:
        """Run `do` on the node; healing runs `undo`."""
        self.on_heal(*_argv(undo))
        self.run(*_argv(do))

    def on_heal(self, *undo: str, text: str = "") -> None:
        """Have healing run a command on the node, after it has undone later changes."""
        self.record(Undo(self.node.name, undo, text))

    def change_lab(self, do: list[str], undo: list[str]) -> None:
        """Run `do` on this machine, for the lab's own files; healing runs `undo`."""
        self.record(Undo(LAB, tuple(undo)))
        run(do)

    def read(self, path: str | Path) -> str:
        """The content of a file of the node."""
        return self.run("cat", str(path))

    def file(self, name: str, text: str, mode: str = "0644") -> str:
        """Write a file in the fault's folder; gives its path."""
        path = str(self.folder / name)
        self.run("sh", "-c", WRITE, "sh", path, mode, text=text)
        return path

    def cover(self, path: str | Path, text: str, mode: str = "0644") -> None:
        """Make a file of the node read as `text`, until healing."""
        self.cover_by(path, self.file(str(path).strip("/").replace("/", "-"), text, mode))

    def cover_by(self, path: str | Path, other: str) -> None:
        """Make a path of the node show another file or folder of it, until healing."""
        self.change(
            ["sh", "-ec", COVER, "sh", other, str(path)],
            ["sh", "-ec", UNCOVER, "sh", other, str(path)],
        )

    def hide(self, path: str | Path) -> None:
        """Make a folder of the node appear empty, until healing."""
        self.change(f"mount -t tmpfs -o mode=755 tmpfs {path}", f"umount {path}")

    def start(self, *argv: str, environment: Mapping[str, str] | None = None) -> None:
        """Start a program in the background; healing kills it."""
        log = str(self.folder / "log")
        marked = {**(environment or {}), **self.mark}
        self.run("sh", "-c", DAEMON, "sh", log, *argv, environment=marked)

    def until(self, condition: str) -> None:
        """Wait until a shell command succeeds on the node, for at most WAIT seconds."""
        self.run(*until(condition))


def _argv(command: str | list[str]) -> list[str]:
    return shlex.split(command) if isinstance(command, str) else command


def until(condition: str) -> list[str]:
    """The argv that waits until a shell command succeeds, for at most WAIT seconds."""
    return ["timeout", f"{WAIT}", "sh", "-c", f"until {condition}; do sleep 0.02; done"]
