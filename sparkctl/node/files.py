"""Our files on a node: ~/.sparkctl/<cluster>/, 0700, each file 0600 and replaced atomically."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any


def home(cluster: str) -> Path:
    """Where this cluster's directory is on this node."""
    return Path.home() / ".sparkctl" / cluster


def state_dir(cluster: str) -> Path:
    """This cluster's directory on this node, made if it is not there."""
    path = home(cluster)
    for folder in (path.parent, path):  # what mkdir makes by the way has the umask's mode
        folder.mkdir(exist_ok=True, mode=0o700)
    return path


def remove_empty(path: Path) -> None:
    """Remove this directory and its parent, each if nothing is in it."""
    for directory in (path, path.parent):
        with suppress(OSError):  # not empty, or not there
            directory.rmdir()


def write(request: dict[str, Any]) -> dict[str, Any]:
    """Write `files` (name to text) below the state directory; gives the names that changed.

    `temp_dir`, when given, is made with its tmp/ for this user alone.
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
    """Write a file, 0600, in place of what is there: wholly, or not at all.

    Raises OSError, a full disk's for example; nothing half written is left then.
    """
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
    """Make a directory that only this user may enter; refuse one that somebody else made."""
    path.mkdir(mode=0o700, exist_ok=True)
    if path.is_symlink() or path.stat().st_uid != os.getuid():
        sys.exit(f"{path} should be a directory of ours, it belongs to another user or is a link")
    path.chmod(0o700)  # an older sparkctl gave it to Ray, which opens its own to everybody


def read(request: dict[str, Any]) -> dict[str, Any]:
    """The texts of `names` below the state directory, null for a file that is not there."""
    base = home(request["cluster"])
    return {n: (base / n).read_text() if (base / n).is_file() else None for n in request["names"]}


def over_login(cluster: str) -> dict[str, str]:
    """The login's environment with the cluster's over it.

    A RAY_AUTH_TOKEN of the login is left out: Ray prefers it to the file that we name (Ray 2.60).
    """
    login = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_TOKEN"}
    return {**login, **environment(cluster)}


def environment(cluster: str) -> dict[str, str]:
    """The cluster's environment as rendered for this node; empty when none was written.

    Ends the call with a message when the file is no JSON object of texts.
    """
    path = home(cluster) / "environment.json"
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        sys.exit(f"{path} is damaged; run `sparkctl down`, then `sparkctl up`, to write it again")
    return found
