"""Which faults are active in a lab and what undoes each: journal.json in the lab's folder.

It has the format of the nodes' journals (node/entries.py); an entry's owner is lab/FAULT/NODE.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.errors import SparkctlError
from sparkctl.lab import statefile
from sparkctl.lab.errors import rebuild_hint
from sparkctl.node import entries
from sparkctl.node.entries import Entry, Journal

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.node.wire import Json

FILE = entries.NAME
OLDER = "faults.json"  # of releases whose undos were command lines


@dataclass
class Active:
    """An active fault; `undo` is in the order of the changes, and runs from its end."""

    fault: str
    node: str
    undo: list[Entry] = field(default_factory=list)

    def entry(self, undo: str, **data: Json) -> Entry:
        """An entry of a change of the fault that begins now."""
        return entries.new(f"lab/{self.fault}/{self.node}", undo, data, f"fault {self.fault}")

    def record(self, entry: Entry) -> None:
        """Add an entry, or replace it by what it is now."""
        self.undo = [e for e in self.undo if e.id != entry.id] + [entry]


def read(base: Path) -> list[Active]:
    """The active faults of the lab in `base`, the oldest first.

    Raises SparkctlError when the journal is damaged, another user's, of an unknown schema, or has
    commands, which are not executed: an older release wrote it.
    """
    if (base / OLDER).exists():
        raise SparkctlError(
            f"cannot heal the lab's faults: an older sparkctl wrote {base / OLDER}",
            hint=rebuild_hint(base),
            code="lab-journal-old",
            data={"path": str(base / OLDER)},
        )
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            status = (base / FILE).lstat()
            entries.require_own(status, os.getuid(), base / FILE, stat.S_ISREG)
    except PermissionError as error:
        raise SparkctlError(
            str(error), hint=rebuild_hint(base), code="lab-journal-refused"
        ) from None
    active: dict[str, Active] = {}
    for entry in statefile.read(base / FILE, _build) or []:
        _, fault, node = entry.owner.split("/")
        active.setdefault(entry.owner, Active(fault, node)).undo.append(entry)
    return [*active.values()]


def _build(document: Json) -> list[Entry]:
    found = entries.parse(document)
    if not all(entry.is_of("lab") and entry.owner.count("/") == 2 for entry in found):
        raise ValueError("an entry of another owner")
    return found


def write(base: Path, active: list[Active]) -> None:
    """Replace the journal; without an active fault there is no file."""
    Journal(base, os.getuid()).write([entry for each in active for entry in each.undo])
