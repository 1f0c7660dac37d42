"""Faults of locked memory: lines of pam_limits' files, which a login really reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.lab.faults.fault import Fault
from sparkctl.lab.faults.sshd import CONFIG, RELOAD

if TYPE_CHECKING:
    from sparkctl.lab.faults.target import Target

LIMIT = 64  # KiB
FOLDER = "/etc/security/limits.d"
# Root's CAP_IPC_LOCK overrides the limit, so its logins drop it.
SHELL = """\
#!/bin/sh
exec setpriv --bounding-set -ipc_lock --inh-caps -ipc_lock -- /bin/bash "$@"
"""
PAM = """\
auth required pam_deny.so
account required pam_permit.so
session required pam_limits.so
"""
# Debian's pam_limits resets every limit that no line sets to that of pid 1.
FILES = "root - nofile 65536\n"
TOUCHES = ("passwd", "sshd", "limits")


def _limit(target: Target, **files: str) -> None:
    """Logins through PAM, without CAP_IPC_LOCK, and limited by these files of limits.d."""
    shell = target.file("shell", SHELL, "0755")
    lines = target.read("/etc/passwd").splitlines(keepends=True)
    root = next(line for line in lines if line.startswith("root:"))
    limited = f"{root.rpartition(':')[0]}:{shell}\n"
    config = target.read(CONFIG).replace("UsePAM no", "UsePAM yes")
    target.on_heal("reload-sshd")
    for name, text in {**files, "files": FILES}.items():
        target.cover(f"{FOLDER}/{name}.conf", text)
    target.cover("/etc/pam.d/sshd", PAM)
    target.cover("/etc/passwd", "".join(limited if x == root else x for x in lines))
    target.cover(CONFIG, config)
    target.run(*RELOAD)


def _own_line(target: Target) -> None:
    _limit(target, site=f"# from an old image\n* - memlock unlimited\nroot - memlock {LIMIT}\n")


def _later_file(target: Target) -> None:
    _limit(target, rdma="root - memlock unlimited\n", site=f"root hard memlock {LIMIT}\n")


FAULTS = (
    Fault(
        "memlock-64k",
        f"a login can lock only {LIMIT} KiB: limits.d has a line for root",
        _own_line,
        touches=TOUCHES,
    ),
    Fault(
        "memlock-later",
        f"a login can lock only {LIMIT} KiB: a later file of limits.d decides",
        _later_file,
        touches=TOUCHES,
    ),
)
