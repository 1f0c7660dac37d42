"""The accounts of a node: who owns a process or a file, and which names a report masks."""

from __future__ import annotations

import pwd
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkctl.node.wire import Answer

PASSWD = Path("/etc/passwd")
PEOPLE = range(1000, 65534)  # login.defs(5), UID_MIN; below is the system, above is nobody


def name(uid: int) -> str:
    """The account's name; empty where there is none, as for a container's."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def owner(path: Path) -> Answer | None:
    """`uid` and `user` of what is at a path, and not of what a link leads to; None if nothing."""
    try:
        uid = path.lstat().st_uid
    except (FileNotFoundError, NotADirectoryError):
        return None
    return {"uid": uid, "user": name(uid)}


def people(running: Iterable[int]) -> list[str]:
    """The names of people's accounts: those of this machine, and those of `running`, the uids of
    processes. A directory service is not listed, which can take minutes.
    """
    lines = (line.split(":") for line in PASSWD.read_text(errors="replace").splitlines())
    found = {int(f[2]): f[0] for f in lines if len(f) > 2 and f[2].isdigit()}
    found.update((uid, name(uid)) for uid in {*running} - {*found})
    return sorted(n for uid, n in found.items() if uid in PEOPLE and n)
