"""Changing a node so that it can be taken back: by whom it was begun, even if nobody waits for it.

An owner takes back only what it has changed. What is in the journal and not understood is neither
executed nor removed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sparkctl.node import entries, guard, undo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.node.entries import Entry, Journal
    from sparkctl.node.wire import Answer, JournalChange, JournalOf, TakeBack


def change(request: JournalChange) -> Answer:
    """Make the change `do` (name and data) for `owner`; what undoes it is recorded before.

    With `keep` its entry stays for a later taking back, with `unfinished` as one of a run that goes
    on, else only while it is unfinished. A change that fails is taken back at once; if that fails
    too, its entry stays.
    """
    cluster, do = request["cluster"], request["do"]
    name, data = do["name"], do["data"]
    try:
        row = undo.known(name, data)
        if row.do is None:
            raise ValueError(f"{name} can only be taken back")
        before = row.before(cluster, data) if row.before else None
        if before is None:
            row.do(cluster, data)
            return {}
        journal = entries.made(cluster, root=row.root)
        undone_by = undo.UNDONE_BY.get(name, name)
        entry = entries.new(request["owner"], undone_by, before, request["title"])
        _enter(journal, entry)
    except ValueError as error:
        sys.exit(f"cannot change the node: {error}")
    try:
        row.do(cluster, data)
    except OSError:
        if not _undone(cluster, entry, root=row.root):
            journal.finish(entry.id, keep=False)
        raise
    if not request.get("unfinished", False):
        journal.finish(entry.id, keep=request.get("keep", False))
    return {}


def _enter(journal: Journal, entry: Entry) -> None:
    try:
        journal.enter(entry)
    except ValueError as error:
        raise ValueError(entries.damaged(journal, error)) from None


def take_back(request: TakeBack) -> Answer:
    """Take back what `owner` has changed, the last change first; with `unfinished` only what is not
    complete. `root`: what lies in root's journal, else in the login's.

    Returns the entries `taken`, and those that `failed`, each with its `error`: these stay.
    """
    found = readable(_journal(request))
    chosen = [entry for entry in found if _chosen(entry, request)]
    return undone(request["cluster"], chosen, root=request.get("root", False))


def undone(cluster: str, chosen: Sequence[Entry], *, root: bool) -> Answer:
    """Take back these entries, the last first; returns as `take_back`."""
    taken, failed = [], []
    for entry in reversed(chosen):
        if error := _undone(cluster, entry, root=root):
            failed.append({**entry.shown(), "error": error})
        else:
            # An undo may have removed the folder.
            entries.made(cluster, root=root).finish(entry.id, keep=False)
            taken.append(entry.shown())
    return {"taken": taken, "failed": failed}


def read(request: JournalOf) -> Answer:
    """The `entries` of the login's journal, with `root` of root's; `root`: whether root has one."""
    of_root = guard.is_there(entries.of(request["cluster"], root=True).folder)
    return {"entries": [e.shown() for e in readable(_journal(request))], "root": of_root}


def _chosen(entry: Entry, request: TakeBack) -> bool:
    return entry.is_of(request["owner"]) and not (request["unfinished"] and entry.done)


def _undone(cluster: str, entry: Entry, *, root: bool) -> str:
    """Undo one change; gives why that failed, "" if it is undone."""
    try:
        row = undo.known(entry.undo, entry.data)
        if row.undo is None or row.root != root:
            return f"{entry.undo} cannot be undone from this journal"
        row.undo(cluster, entry.data)
    except (OSError, ValueError) as error:
        return str(error) or repr(error)
    except SystemExit as error:  # as the functions of a call end it
        return str(error.code)
    return ""


def _journal(request: JournalOf) -> Journal:
    try:
        return entries.of(request["cluster"], root=request.get("root", False))
    except ValueError as error:
        sys.exit(str(error))


def readable(journal: Journal) -> list[Entry]:
    """Its entries. Ends the call with a message where they cannot be understood."""
    try:
        return journal.read()
    except ValueError as error:
        sys.exit(entries.damaged(journal, error))
