"""A virtual environment that is built in a folder next to its path, and then moved there whole.

The folder of ~/vllm is ~/.vllm.sparkctl/: `new` (what is built), `old` (what it replaces, while
both are moved), tmp, install.json (what is built, by whom), install.exit (how that ended, see
shim.py) and install.log, which alone stays where an installation has failed.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.node import files, guard, jsontext, processes, shim, state

if TYPE_CHECKING:
    from sparkctl.node.wire import Json

ROLE = "install"  # of the program that builds
SCHEMA = 1
STATE, LOG = "install.json", "install.log"
KEPT = f"sparkctl-{STATE}", f"sparkctl-{LOG}"  # both, in a virtual environment that is whole


class Build(NamedTuple):
    """What is built: for a cluster, by a run, from a `spec` (a digest), since a boot."""

    cluster: str
    run: str
    spec: str
    boot_id: str


class Place(NamedTuple):
    """The path of a virtual environment, without links, and the folder in which it is built."""

    path: Path
    folder: Path

    @property
    def new(self) -> Path:
        """The virtual environment while it is built."""
        return self.folder / "new"

    @property
    def old(self) -> Path:
        """The one that it replaces, while both are moved."""
        return self.folder / "old"

    @property
    def scratch(self) -> Path:
        """Where pip and uv unpack; /tmp may be memory, and keeps what a killed pip leaves."""
        return self.folder / "tmp"

    @property
    def log(self) -> Path:
        """The output of what builds it."""
        return self.folder / LOG

    @property
    def exit(self) -> Path:
        """How that ended."""
        return self.folder / "install.exit"

    def build(self) -> Build | None:
        """What is built there, or was and is not moved yet; None without a readable state."""
        return _build(self.folder / STATE)

    def whole(self) -> Build | None:
        """What built the virtual environment at the path; None if sparkctl did not."""
        return _build(self.path / KEPT[0])

    def write(self, build: Build) -> None:
        """Note what is built."""
        text = json.dumps({"schema": SCHEMA, **build._asdict()})
        files.replace(self.folder / STATE, text)

    def runs(self) -> bool:
        """Whether what builds it is running."""
        build, begun = self.build(), shim.begun(self.exit)
        if build is None or begun is None or build.boot_id != state.boot_id():
            return False
        return processes.alive(begun.pid, begun.started)

    def move(self) -> None:
        """Move what was built to the path; again after an interruption, with the same result."""
        build = self.build()
        if self.new.is_dir() and build is not None:
            _relocate(self.new, self.path)
            shutil.copyfile(self.folder / STATE, self.new / KEPT[0])
            shutil.copyfile(self.log, self.new / KEPT[1])
            if os.path.lexists(self.path):
                self.path.rename(self.old)
            self.new.rename(self.path)
        guard.remove(self.folder)

    def restore(self, run: str, *, log: bool = True) -> None:
        """Take back what this run has built or moved, unless it is complete; a `log` stays."""
        build = self.build()
        if build is None or build.run != run:
            return
        whole = self.whole()
        if whole is not None and whole.run == run:
            guard.remove(self.folder)
            return
        if self.old.exists() and not os.path.lexists(self.path):
            self.old.rename(self.path)
        # The state goes last: without it nothing here is known as sparkctl's.
        kept = (self.log, self.folder / STATE)
        for path in (*(p for p in self.folder.iterdir() if p not in kept), kept[1]):
            guard.remove(path)
        if not log:
            guard.remove(self.folder)


def place(venv: str) -> Place:
    """Where this virtual environment is and is built; a link is followed to what it names."""
    path = Path(os.path.realpath(Path(venv).expanduser()))
    return Place(path, path.with_name(f".{path.name}.sparkctl"))


def _build(path: Path) -> Build | None:
    try:
        found = jsontext.table(files.document(path, SCHEMA))
        return Build(*(jsontext.text(found[name]) for name in Build._fields))
    except (OSError, ValueError, KeyError):
        return None


def _relocate(new: Path, path: Path) -> None:
    """Let the scripts of a virtual environment name the path that it will have.

    pip and uv write the interpreter's path into bin/ and pyvenv.cfg alone.
    """
    before, after = os.fsencode(new), os.fsencode(path)
    for script in (new / "pyvenv.cfg", *(new / "bin").iterdir()):
        if script.is_symlink() or not script.is_file():
            continue
        data = script.read_bytes()
        if before in data and b"\0" not in data:
            script.write_bytes(data.replace(before, after))


def is_place(value: Json) -> bool:
    """Whether a journal's value may be the path of a virtual environment."""
    return isinstance(value, str) and value.startswith("/") and value.isprintable()
