"""Kernel, limits, disks and login of a node: what a start depends on outside the fabric."""

from __future__ import annotations

import os
import pwd
import re
import resource
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import modelpath, processes
from sparkctl.node.subprocesses import start
from sparkctl.node.timeout import bounded

if TYPE_CHECKING:
    from sparkctl.node.wire import Answer

UNLIMITED = -1
DISK_SECONDS = 1.5  # for each; a network file system that hangs does not answer at all
SUDO_SECONDS = 4.0  # it asks a name server or a directory, which may not answer


def system() -> Answer:
    """`kernel`, `cmdline`, `limits` (bytes and files, -1 is unlimited), `capabilities` (bits),
    `remove_ipc` (null without systemd), `linger`; what could not be read is null.
    """
    return {
        "kernel": _read("/proc/sys/kernel/osrelease"),
        "cmdline": _read("/proc/cmdline"),
        "limits": {
            "memlock": _limit(resource.RLIMIT_MEMLOCK),
            "nofile": _limit(resource.RLIMIT_NOFILE),
        },
        "capabilities": processes.capabilities(os.getpid()),
        "remove_ipc": _remove_ipc(),
        "linger": Path("/var/lib/systemd/linger", pwd.getpwuid(os.getuid()).pw_name).exists(),
    }


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return None


def _limit(which: int) -> int:
    soft, _ = resource.getrlimit(which)
    return UNLIMITED if soft == resource.RLIM_INFINITY else soft


def disks(model: str) -> dict[str, Answer]:
    """The file systems of logs, of Ray's temporary files and of `model` (node/modelpath.py): path,
    bytes free and total, null where the file system does not answer.
    """
    home = str(Path.home())
    paths = {"logs": home, "temporary files": "/tmp"}
    if modelpath.is_path(model):  # else vLLM fetches it into the home
        paths["model"] = modelpath.expanded(model, home)
    found = {}
    for name, path in paths.items():
        try:
            found[name] = bounded(partial(_disk, path), DISK_SECONDS)
        except OSError:
            found[name] = {"path": path, "free": None, "total": None}
    return found


def _disk(text: str) -> Answer:
    path = Path(text)
    while not path.exists():
        path = path.parent
    disk = os.statvfs(path)
    free, total = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    return {"path": str(path), "free": free, "total": total}


def _remove_ipc() -> bool | None:
    """logind's RemoveIPC, on by default (logind.conf(5)); null without a running systemd."""
    if not Path("/run/systemd/system").is_dir():
        return None
    files = [Path("/etc/systemd/logind.conf"), *Path("/etc/systemd/logind.conf.d").glob("*.conf")]
    value = "yes"
    for path in files:
        for match in re.finditer(r"^\s*RemoveIPC\s*=\s*(\S+)", _read(str(path)) or "", re.M):
            value = match[1]
    return value.lower() in ("yes", "true", "on", "1")


def sudo() -> bool:
    """Whether sudo works without a password, which root does not need.

    Raises TimeoutError when it does not answer.
    """
    if os.getuid() == 0:
        return True
    try:
        start(["sudo", "--non-interactive", "true"]).finish(SUDO_SECONDS)
    except TimeoutError:
        raise
    except OSError:
        return False
    return True
