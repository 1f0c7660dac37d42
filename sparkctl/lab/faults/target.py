"""The node that a fault is applied to: every change is journalled with its undoing, then made."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.lab.faults.journal import LAB, Undo
from sparkctl.lab.inside import Inside, run
from sparkctl.lab.node import FAULT_FILES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sparkctl.lab.lab import Lab
    from sparkctl.lab.spec import NodeSpec

MARK = "SPARKCTL_LAB_FAULT"  # in the environment of what a fault starts
WAIT = 15  # seconds for a change to be in effect; a serving node's are the slowest

WRITE = 'cat >"$1" && chmod "$2" "$1"'
# A bind mount hides the file and leaves it as it is. Where there is none, or a link that leads
# nowhere on the node, the file is put there.
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
    inside: Inside
    fault: str
    journal: Callable[[Undo], None]

    @property
    def node(self) -> NodeSpec:
        """The node."""
        return self.inside.node

    @property
    def folder(self) -> Path:
        """The fault's own folder on the node; the engine makes and removes it."""
        return FAULT_FILES / self.fault

    @property
    def mark(self) -> dict[str, str]:
        """The environment by which healing finds what the fault started."""
        return {MARK: f"{self.node.name}/{self.fault}"}

    def run(self, *argv: str, text: str = "", environment: Mapping[str, str] | None = None) -> str:
        """Run a program that changes nothing outside of the fault's folder; what it prints."""
        return self.inside.run(*argv, text=text, environment=environment)

    def change(self, do: str | list[str], undo: str | list[str]) -> None:
        """Run a command on the node; healing runs the other."""
        self.when_healed(*_argv(undo))
        self.run(*_argv(do))

    def when_healed(self, *undo: str, text: str = "") -> None:
        """Healing runs this command on the node, after what undoes the changes that follow."""
        self.journal(Undo(self.node.name, undo, text))

    def change_lab(self, do: list[str], undo: list[str]) -> None:
        """The same on this machine, for the lab's own files."""
        self.journal(Undo(LAB, tuple(undo)))
        run(do)

    def read(self, path: str | Path) -> str:
        """A file of the node."""
        return self.run("cat", str(path))

    def file(self, name: str, text: str, mode: str = "0644") -> str:
        """Write a file in the fault's folder; gives its path."""
        path = str(self.folder / name)
        self.run("sh", "-c", WRITE, "sh", path, mode, text=text)
        return path

    def cover(self, path: str | Path, text: str, mode: str = "0644") -> None:
        """Have `path` show `text`."""
        self.cover_by(path, self.file(str(path).strip("/").replace("/", "-"), text, mode))

    def cover_by(self, path: str | Path, other: str) -> None:
        """Have `path` show another file or folder of the node."""
        self.change(
            ["sh", "-ec", COVER, "sh", other, str(path)],
            ["sh", "-ec", UNCOVER, "sh", other, str(path)],
        )

    def hide(self, path: str | Path) -> None:
        """Have a folder be empty."""
        self.change(f"mount -t tmpfs -o mode=755 tmpfs {path}", f"umount {path}")

    def start(self, *argv: str, environment: Mapping[str, str] | None = None) -> None:
        """Leave a program running in the background; healing kills it."""
        log = str(self.folder / "log")
        marked = {**(environment or {}), **self.mark}
        self.run("sh", "-c", DAEMON, "sh", log, *argv, environment=marked)

    def until(self, condition: str) -> None:
        """Wait until a shell command succeeds on the node."""
        self.run(*until(condition))


def _argv(command: str | list[str]) -> list[str]:
    return shlex.split(command) if isinstance(command, str) else command


def until(condition: str) -> list[str]:
    """The command that waits until a shell command succeeds."""
    return ["timeout", f"{WAIT}", "sh", "-c", f"until {condition}; do sleep 0.02; done"]
