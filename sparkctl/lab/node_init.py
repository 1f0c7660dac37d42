"""The first process of an imitated node: makes its root, starts sshd, reaps orphans.

Run by node.py under `unshare` with the node's folder, its hostname and the cache to share. The
standard library alone, because it runs before there is anything else.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def mount(*argv: str) -> None:
    """mount(8), with its own message when it fails."""
    subprocess.run(["mount", *argv], check=True)


def overlay(lower: str, upper: Path, work: Path, target: Path) -> None:
    """An overlay; `upper` moves to a tmpfs where its own file system cannot carry one."""
    work.mkdir(exist_ok=True)
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    argv = ["mount", "-t", "overlay", "overlay", "-o", options, str(target)]
    if subprocess.run(argv, capture_output=True, check=False).returncode == 0:
        return
    memory = work.parent / f"{work.name}-memory"
    memory.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "tmpfs", str(memory))
    subprocess.run(["cp", "-a", f"{upper}/.", f"{memory}/upper"], check=True)
    (memory / "work").mkdir()
    options = f"lowerdir={lower},upperdir={memory}/upper,workdir={memory}/work"
    mount("-t", "overlay", "overlay", "-o", options, str(target))


def build_root(folder: Path, cache: Path) -> Path:
    """The node's root directory: this machine's below, its own files above."""
    root = folder / "mnt"
    root.mkdir(exist_ok=True)
    mount("--make-rprivate", "/")
    overlay("/", folder / "root", folder / "root.work", root)
    mount("-t", "proc", "proc", str(root / "proc"))
    lower = folder / "sysfs"
    lower.mkdir(exist_ok=True)
    mount("-t", "sysfs", "sysfs", str(lower))
    overlay(str(lower), folder / "sys", folder / "sys.work", root / "sys")
    for name, mode in (("tmp", "1777"), ("run", "755"), ("dev", "755")):
        mount("-t", "tmpfs", "-o", f"mode={mode}", "tmpfs", str(root / name))
    _devices(root / "dev")
    shared = root / "var/cache/sparkctl-lab"
    shared.mkdir(parents=True, exist_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    mount("--bind", str(cache), str(shared))
    (root / "run/sshd").mkdir()
    return root


def _devices(dev: Path) -> None:
    for name in DEVICES:
        (dev / name).touch()
        mount("--bind", f"/dev/{name}", str(dev / name))
    for name, mode in (("pts", None), ("shm", "1777")):
        (dev / name).mkdir()
        if mode:
            mount("-t", "tmpfs", "-o", f"mode={mode}", "tmpfs", str(dev / name))
    mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=620", "devpts", str(dev / "pts"))
    (dev / "ptmx").symlink_to("pts/ptmx")
    (dev / "infiniband").mkdir()
    for index in range(4):
        # No driver answers behind it: that part of the ConnectX-7 is not imitated.
        os.mknod(dev / f"infiniband/uverbs{index}", 0o020666, os.makedev(231, 192 + index))
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"),
                         ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")):  # fmt: skip
        (dev / name).symlink_to(target)


def main() -> None:
    """Become the node; ends when sshd does."""
    folder, name, cache = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    socket.sethostname(name)
    root = build_root(folder, cache)
    os.chroot(root)
    os.chdir("/")
    sshd = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "sshd_config")])
    signal.signal(signal.SIGTERM, lambda *_: sshd.terminate())
    while True:
        # Daemons of the node are adopted by its first process; it must reap them.
        pid, _status = os.wait()
        if pid == sshd.pid:
            return


if __name__ == "__main__":
    main()
