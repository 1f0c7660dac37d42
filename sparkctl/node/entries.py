"""The journal of changes of a node: an entry says what undoes a change, before that is made.

journal.json lies in ~/.sparkctl/CLUSTER/ for what the login changes, in /var/lib/sparkctl/CLUSTER/
(root's, 0700) for what root changes, and in a lab's folder for its faults. Each entry has an owner,
`up/RUN`, `install/RUN`, `fix`, `fabric` or
`lab/FAULT`, and an undo: a name from a closed table and data.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.node import files, guard, jsontext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sparkctl.node.wire import Answer, Json

SCHEMA = 1
ROOT = Path("/var/lib/sparkctl")
NAME, GUARD = files.JOURNAL
LIMIT = 2**20  # bytes of a journal
CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
OWNER = re.compile(r"(up|install|fix|fabric|lab)(/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){0,2}")
WORD = re.compile(r"[a-z][a-z0-9-]{0,63}")  # an id, the name of an undo


class Entry(NamedTuple):
    """One change; `done` once it is complete, `when` it was begun by the node's clock."""

    id: str
    owner: str
    undo: str
    data: Mapping[str, Json]
    title: str
    when: str
    done: bool = False

    def is_of(self, owner: str) -> bool:
        """Whether it is this owner's; `up` owns what each `up/RUN` does."""
        return self.owner == owner or self.owner.startswith(f"{owner}/")

    def shown(self) -> Answer:
        """What a report needs of it."""
        values = self._asdict()
        return {key: values[key] for key in ("id", "owner", "undo", "title", "when", "done")}


def new(owner: str, undo: str, data: Mapping[str, Json], title: str) -> Entry:
    """An entry of a change that begins now. Raises ValueError for what `parse` would refuse."""
    when = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    return _entry({**Entry(f"c{secrets.token_hex(8)}", owner, undo, data, title, when)._asdict()})


def parse(found: Json) -> list[Entry]:
    """The entries of a journal's value, the oldest first. Raises ValueError, files.Newer."""
    try:
        document = jsontext.table(found)
        schema = document["schema"]
        if type(schema) is int and schema > SCHEMA:
            raise files.Newer(f"{NAME} has unknown schema {schema} (this sparkctl reads {SCHEMA})")
        if type(schema) is not int or schema != SCHEMA:
            raise ValueError(schema)
        entries = [_entry(jsontext.table(row)) for row in jsontext.rows(document["entries"])]
    except KeyError as error:
        raise ValueError(f"missing {error}") from None
    if len({entry.id for entry in entries}) < len(entries):
        raise ValueError("duplicate id")
    return entries


def _entry(row: Mapping[str, Json]) -> Entry:
    names = ("id", "owner", "undo", "title", "when")
    identity, owner, undo, title, when = (jsontext.text(row[name]) for name in names)
    words = WORD.fullmatch(identity), OWNER.fullmatch(owner), WORD.fullmatch(undo)
    if not all(words) or not title.isprintable() or not when.isprintable():
        raise ValueError("malformed entry")
    if not isinstance(row["done"], bool):
        raise ValueError("expected a boolean")
    return Entry(identity, owner, undo, jsontext.table(row["data"]), title, when, row["done"])


class Journal(NamedTuple):
    """The journal in a folder that is this user's."""

    folder: Path
    uid: int

    def read(self) -> list[Entry]:
        """Its entries, the oldest first; none without a file.

        Raises PermissionError for a folder or a file that is a link, another user's, or writable
        for others, OSError, files.Newer, and another ValueError for a damaged one.
        """
        path = self.folder / NAME
        try:
            self._require_folder()
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return []
        with os.fdopen(fd, "rb") as stream:
            require_own(os.fstat(fd), self.uid, path, stat.S_ISREG)
            text = stream.read(LIMIT + 1)
        if len(text) > LIMIT:
            raise ValueError("too long")
        return parse(jsontext.load(text))

    def write(self, entries: Sequence[Entry]) -> None:
        """Replace it, on the disk on return; without an entry there is no file."""
        path = self.folder / NAME
        if not entries:
            path.unlink(missing_ok=True)
            return
        rows = [entry._asdict() for entry in entries]
        files.replace(path, json.dumps({"schema": SCHEMA, "entries": rows}, indent=1))
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    @contextmanager
    def held(self) -> Iterator[Journal]:
        """Lock it; an empty folder is removed in the end. Raises PermissionError as `read` does."""
        self._require_folder()
        try:
            with guard.hold(self.folder, GUARD):
                yield self
        except guard.Damaged:
            raise PermissionError(f"cannot lock {self.folder / GUARD}") from None

    def _require_folder(self) -> None:
        require_own(self.folder.lstat(), self.uid, self.folder, stat.S_ISDIR)

    def enter(self, entry: Entry) -> None:
        """Add an entry; it is on the disk on return."""
        with self.held():
            self.write([*self.read(), entry])

    def finish(self, identity: str, *, keep: bool) -> None:
        """The change is complete: its entry stays for a later taking back (`keep`), or goes."""
        with self.held():
            found = ((e._replace(done=True) if e.id == identity else e) for e in self.read())
            self.write([e for e in found if keep or e.id != identity])

    def close(self, owner: str, undo: str = "", data: Mapping[str, Json] | None = None) -> None:
        """Remove an owner's entries: its changes are complete. With `undo` those of that name, with
        `data` those whose data has these values.
        """

        def closed(entry: Entry) -> bool:
            same = all(entry.data.get(k) == v for k, v in (data or {}).items())
            return entry.is_of(owner) and undo in ("", entry.undo) and same

        if any(map(closed, self.read())):
            with self.held():
                self.write([entry for entry in self.read() if not closed(entry)])


def of(cluster: str, *, root: bool) -> Journal:
    """The journal of a cluster on this node: this user's, or root's. Raises ValueError."""
    if not CLUSTER.fullmatch(cluster):
        raise ValueError(f"{cluster!r} is no name of a cluster")
    return Journal(ROOT / cluster, 0) if root else Journal(files.home(cluster), os.getuid())


def made(cluster: str, *, root: bool) -> Journal:
    """The same, with its folder made. Raises PermissionError where root's parent is not root's."""
    journal = of(cluster, root=root)
    if root:
        ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
        require_own(ROOT.lstat(), 0, ROOT, stat.S_ISDIR)
        journal.folder.mkdir(mode=0o700, exist_ok=True)
    else:
        files.state_dir(cluster)
    return journal


@contextmanager
def recorded(
    journal: Journal, owner: str, undo: str, data: Mapping[str, Json], title: str, *, keep: bool
) -> Iterator[Entry]:
    """Have an entry on the disk before the block makes its change; finished if the block ends well.

    A block that raises leaves its entry unfinished, for a taking back.
    """
    entry = new(owner, undo, data, title)
    journal.enter(entry)
    yield entry
    journal.finish(entry.id, keep=keep)


def require_own(
    status: os.stat_result, uid: int, path: Path, is_kind: Callable[[int], bool]
) -> None:
    """Raise PermissionError for another kind, another user's, or what others may write."""
    if not is_kind(status.st_mode) or status.st_uid != uid or status.st_mode & 0o022:
        raise PermissionError(
            f"refused to use {path}: it is a link, belongs to another user, or others may write it"
        )


def damaged(journal: Journal, error: ValueError) -> str:
    """What to say of a journal that `read` could not understand, with the remedy."""
    path = journal.folder / NAME
    if isinstance(error, files.Newer):
        return f"{path}: {error}"
    return f"{path} is damaged ({error}); nothing was taken back. Remove it to continue without it"
