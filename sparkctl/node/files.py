"""sparkctl's files on a node: ~/.sparkctl/CLUSTER/, 0700, each file 0600 and replaced atomically.

Which files there are, and their schemas: node/__init__.py.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import jsontext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.node.wire import Answer, Json, Read, Write

SCHEMA = 1  # of environment.json
CONTAINER = "container.id"  # what docker run wrote: the Id of this cluster's container
JOURNAL = ("journal.json", "journal.lock")  # of changes that may have to be taken back (entries.py)


class Newer(ValueError):
    """A file has a schema that this release does not know; the message names both."""


def home(cluster: str) -> Path:
    """This cluster's directory on this node."""
    return Path.home() / ".sparkctl" / cluster


def state_dir(cluster: str) -> Path:
    """This cluster's directory on this node, made if it does not exist."""
    return made(home(cluster))


def made(path: Path) -> Path:
    """This directory, made with its parent if it does not exist, both 0700.

    Raises FileExistsError where something else is there, FileNotFoundError without a home.
    """
    while True:
        _make(path.parent)  # parents that mkdir makes get the umask's mode
        try:
            _make(path)
        except FileNotFoundError:  # another cluster's end has removed the empty parent meanwhile
            continue
        return path


def _make(path: Path) -> None:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:  # removed just now, see above
            return
        if not (stat.S_ISDIR(mode) or (stat.S_ISLNK(mode) and path.is_dir())):
            raise


def remove_empty(path: Path) -> None:
    """Remove this directory and its parent, each if it is empty."""
    for directory in (path, path.parent):
        with suppress(OSError):  # not empty, or absent
            directory.rmdir()


def document(path: Path, schema: int) -> Json:
    """The value of a JSON file; an object has this schema, or none as in older releases.

    Raises OSError, Newer, or another ValueError for what is not such a file.
    """
    if path.exists() and not path.is_file():  # reading a pipe blocks
        raise ValueError(f"{path} is not a file")
    found = jsontext.load(path.read_text())
    number = found.get("schema", schema) if isinstance(found, dict) else schema
    if number not in range(1, schema + 1):
        raise Newer(f"{path} has unknown schema {number!r} (this sparkctl reads {schema})")
    return found


def write(request: Write) -> Answer:
    """Write `files` (name to text) below the state directory; `changed`: names of those written.

    Makes `temp_dir`, if given, and its tmp/ for this user alone.
    """
    base = state_dir(request["cluster"])
    if "temp_dir" in request:
        _private(Path(request["temp_dir"]))
        _private(Path(request["temp_dir"]) / "tmp")
    changed = []
    for name, text in request["files"].items():
        path = base / name
        if path.is_file() and path.read_text() == text:
            continue
        replace(path, text)
        changed.append(name)
    return {"changed": changed}


def replace(path: Path, text: str) -> None:
    """Replace a file, 0600, completely or not at all; raises OSError, for a full disk too."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(fd, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise


def _private(path: Path) -> None:
    """Make a directory that only this user may enter; refuse another user's."""
    path.mkdir(mode=0o700, exist_ok=True)
    if path.is_symlink() or path.stat().st_uid != os.getuid():
        sys.exit(f"cannot use {path}: it is a link or belongs to another user")
    path.chmod(0o700)  # an older sparkctl gave it to Ray, which makes its own world-writable


def read(request: Read) -> dict[str, str | None]:
    """The texts of `names` below the state directory, null for one that does not exist; of what is
    no file the empty text, which no file of sparkctl's has.
    """
    base = home(request["cluster"])
    return {n: _text(base / n) for n in request["names"]}


def _text(path: Path) -> str | None:
    if path.is_file():
        return path.read_text()
    return "" if path.exists() else None


def over_login(cluster: str) -> dict[str, str]:
    """The login's environment, overridden by the cluster's.

    Without the login's RAY_AUTH_TOKEN: Ray prefers it to RAY_AUTH_TOKEN_PATH (Ray 2.60).
    """
    login = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_TOKEN"}
    return {**login, **environment(cluster)}


def environment(cluster: str) -> dict[str, str]:
    """The variables in environment.json; empty when there is no such file.

    Ends the call with a message when the file is damaged or newer.
    """
    path = home(cluster) / "environment.json"
    try:
        found = jsontext.table(document(path, SCHEMA))
        # An older release wrote the variables alone.
        values = jsontext.table(found["variables"]) if "schema" in found else found
        return {name: jsontext.text(value) for name, value in values.items()}
    except FileNotFoundError:
        return {}
    except (KeyError, ValueError) as error:
        reason = error if isinstance(error, Newer) else f"{path} is damaged"
        sys.exit(f"{reason}; run `sparkctl down`, then `sparkctl up`, to write it again")


def environment_text(variables: Mapping[str, str]) -> str:
    """The text of environment.json."""
    return json.dumps({"schema": SCHEMA, "variables": variables})
