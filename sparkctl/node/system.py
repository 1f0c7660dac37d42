"""Kernel, limits, disks and login of a node: what a start runs into outside the fabric."""

from __future__ import annotations

import os
import pwd
import re
import resource
import subprocess
from pathlib import Path
from typing import Any

UNLIMITED = -1


def system(request: dict[str, Any]) -> dict[str, Any]:
    """`kernel`, `cmdline`, `limits` (bytes and files, -1 is unlimited), `capabilities` (bits),
    `disk` (name to path, bytes free and total), `remove_ipc`, `linger`, `sudo`.
    """
    return {
        "kernel": _read("/proc/sys/kernel/osrelease"),
        "cmdline": _read("/proc/cmdline"),
        "limits": {
            "memlock": _limit(resource.RLIMIT_MEMLOCK),
            "nofile": _limit(resource.RLIMIT_NOFILE),
        },
        "capabilities": _capabilities(),
        "disk": _disks(request),
        "remove_ipc": _remove_ipc(),
        "linger": Path("/var/lib/systemd/linger", pwd.getpwuid(os.getuid()).pw_name).exists(),
        "sudo": _sudo(),
    }


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return None


def _limit(which: int) -> int:
    soft, _ = resource.getrlimit(which)
    return UNLIMITED if soft == resource.RLIM_INFINITY else soft


def _capabilities() -> int:
    match = re.search(r"^CapEff:\s*([0-9a-f]+)", _read("/proc/self/status") or "", re.M)
    return int(match[1], 16) if match else 0


def _disks(request: dict[str, Any]) -> dict[str, Any]:
    """The file systems of what is written: logs, Ray's temporary files; and of the model."""
    wanted = {"logs": str(Path.home()), "temporary files": "/tmp", "model": request["model"]}
    found = {}
    for name, text in wanted.items():
        if not text.startswith(("/", "~")):
            continue  # a hub name: vLLM fetches it into the home
        path = Path(text).expanduser()
        while not path.exists():
            path = path.parent
        disk = os.statvfs(path)
        free, total = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        found[name] = {"path": str(path), "free": free, "total": total}
    return found


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


def _sudo() -> bool | None:
    """Whether sudo works without a password; null where there is no sudo; root needs none."""
    if os.getuid() == 0:
        return True
    argv = ["sudo", "--non-interactive", "true"]
    try:
        done = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    except FileNotFoundError:
        return None
    return done.returncode == 0
