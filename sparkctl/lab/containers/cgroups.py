"""Each node's own part of this machine's cgroups; the standard library alone.

A container engine needs cgroups that it may change. A node is started in a new one in each
hierarchy, which is the root of what it sees.
"""

from __future__ import annotations

import errno
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.errors import SparkctlError
from sparkctl.lab.node_root import mount

if TYPE_CHECKING:
    import subprocess

CGROUPS = Path("/sys/fs/cgroup")
ENTER = 'while [ "$1" != -- ]; do echo 0 >"$1/cgroup.procs"; shift; done; shift; exec "$@"'
CPUSET = ("cpuset.cpus", "cpuset.mems")  # empty in a new cgroup of version 1
GRACE = 5.0  # seconds for a cgroup whose processes were killed to be empty


def mounted() -> list[str]:
    """The mounted hierarchies of version 1 as mount options, such as "cpu,cpuacct"; [] where all
    controllers are in version 2 (cgroups(7): /proc/self/cgroup).
    """
    lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    named = [line.split(":", 2)[1] for line in lines]
    return [name for name in named if name and (CGROUPS / _folder(name)).is_dir()]


def _folder(hierarchy: str) -> str:
    return hierarchy.removeprefix("name=")


def make(name: str) -> list[str]:
    """Make a cgroup called `name` in each hierarchy; gives their folders."""
    hierarchies = mounted()
    made = [top / name for top in [CGROUPS / _folder(h) for h in hierarchies] or [CGROUPS]]
    for own in made:
        own.mkdir(exist_ok=True)
        for file in CPUSET if hierarchies else ():
            if (own / file).exists():
                (own / file).write_text((own.parent / file).read_text())
    return [str(own) for own in made]


def within(folders: list[str], argv: list[str]) -> list[str]:
    """The command line `argv` started in the cgroups of these folders."""
    return ["sh", "-c", ENTER, "sh", *folders, "--", *argv] if folders else argv


def move_launcher(name: str, launcher: subprocess.Popen[str]) -> None:
    """Move the process that started the node out of the node's own cgroup, for _delegate().

    It is there until its child, the node's first process, has made that cgroup a namespace's root.
    """
    if mounted():
        return  # only version 2 has a rule against processes beside children
    own = CGROUPS / name
    (own / "launcher").mkdir()
    while launcher.poll() is None:
        if len((own / "cgroup.procs").read_text().split()) > 1:
            (own / "launcher/cgroup.procs").write_text(str(launcher.pid))
            return
        time.sleep(0.01)


def mount_own(hierarchies: list[str]) -> None:
    """Mount the cgroups of this namespace, with the controller's mounted(), at /sys/fs/cgroup."""
    if not hierarchies:
        mount("-t", "cgroup2", "cgroup2", str(CGROUPS))
        _delegate()
        return
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(CGROUPS))
    for each in hierarchies:
        folder = CGROUPS / _folder(each)
        folder.mkdir()
        options = f"none,{each}" if "=" in each else each
        mount("-t", "cgroup", "-o", options, "cgroup", str(folder))


def _delegate() -> None:
    """Let the node's cgroup have children with controllers, and hence no process of its own (the
    kernel's cgroup-v2.rst, "No Internal Process Constraint").
    """
    (CGROUPS / "node").mkdir()
    (CGROUPS / "node/cgroup.procs").write_text("0")
    controllers = (CGROUPS / "cgroup.controllers").read_text().split()
    (CGROUPS / "cgroup.subtree_control").write_text(" ".join(f"+{c}" for c in controllers))


def remove(names: str) -> list[str]:
    """Remove the cgroups whose names match the pattern `names`; gives those names.

    Raises SparkctlError when one still has a process after GRACE seconds.
    """
    found = [*CGROUPS.glob(names), *CGROUPS.glob(f"*/{names}")]
    deadline = time.monotonic() + GRACE
    for top in found:
        children = [path for path in top.rglob("*") if path.is_dir()]
        for folder in sorted([top, *children], reverse=True):  # the leaves first
            _remove(folder, deadline)
    return sorted({top.name for top in found})


def _remove(folder: Path, deadline: float) -> None:
    """Remove one cgroup, whose files go with it."""
    while True:
        try:
            return folder.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise SparkctlError(
                    f"cannot remove the lab's cgroup {folder}: {error.strerror}",
                    hint=f"{folder}/cgroup.procs lists its processes",
                    code="lab-cgroup-left",
                    data={"path": str(folder)},
                ) from error
        time.sleep(0.02)
