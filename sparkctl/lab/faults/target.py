"""The node that a fault is applied to: each change is made after its undo is in the journal."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.lab.faults import undos
from sparkctl.lab.faults.scripts import COVER, sh
from sparkctl.lab.faults.waiting import until
from sparkctl.lab.node import FAULT_FILES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from sparkctl.lab.existing import Lab
    from sparkctl.lab.faults.journal import Active
    from sparkctl.lab.running import RunningNode
    from sparkctl.lab.spec import NodeSpec
    from sparkctl.node.entries import Entry
    from sparkctl.node.wire import Json

MARK = "SPARKCTL_LAB_FAULT"  # in the environment of what a fault starts
WRITE = 'cat >"$1" && chmod "$2" "$1"'
DAEMON = 'log="$1"; shift; exec setsid --fork "$@" >"$log" 2>&1 </dev/null'


@dataclass(frozen=True)
class Target:
    """A running node, for one fault; each method raises SparkctlError when its command fails."""

    lab: Lab
    running: RunningNode
    active: Active
    write: Callable[[], None]  # the journal

    @property
    def fault(self) -> str:
        """The fault's name."""
        return self.active.fault

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

    def change(self, do: str | list[str], undo: str, **data: Json) -> None:
        """Run `do` on the node; healing has `undo` of undos.py undo it."""
        with self.changing(undo, **data):
            self.run(*(shlex.split(do) if isinstance(do, str) else do))

    @contextmanager
    def changing(self, undo: str, **data: Json) -> Iterator[None]:
        """The block makes a change, after its undo is in the journal.

        Raises ValueError for an undo that healing would refuse.
        """
        undos.known(undo, data)
        entry = self.active.entry(undo, **data)
        self._record(entry)
        yield
        self._record(entry._replace(done=True))

    def on_heal(self, undo: str, **data: Json) -> None:
        """Have healing do this, after it has undone later changes."""
        with self.changing(undo, **data):
            pass

    def _record(self, entry: Entry) -> None:
        self.active.record(entry)
        self.write()

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
        bound = bool(self.run("sh", "-c", 'if [ -e "$1" ]; then echo yes; fi', "sh", str(path)))
        do = sh(COVER, other, str(path))
        self.change(do, "uncover", by=other, path=str(path), bound=bound)

    def hide(self, path: str | Path) -> None:
        """Make a folder of the node appear empty, until healing."""
        self.change(f"mount -t tmpfs -o mode=755 tmpfs {path}", "unmount", path=str(path))

    def hide_file(self, path: str) -> None:
        """Remove a file or a link of the node, until healing."""
        self.change(["mv", path, f"{path}.hidden"], "unhide", path=path)

    def start(self, *argv: str, environment: Mapping[str, str] | None = None) -> None:
        """Start a program in the background; healing kills it."""
        log = str(self.folder / "log")
        marked = {**(environment or {}), **self.mark}
        self.run("sh", "-c", DAEMON, "sh", log, *argv, environment=marked)

    def until(self, condition: str) -> None:
        """Wait until a shell command succeeds on the node, for a bounded time."""
        self.run(*until(condition))
