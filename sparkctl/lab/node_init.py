"""The first process of an imitated node: makes its root, starts sshd, reaps orphans.

Run by node.py under `unshare`, with one JSON object on stdin. While the node runs it keeps the
imitated sysfs in step with what the kernel says of the links; SIGUSR1 has it look again. The
standard library alone, all of it imported at the start: afterwards the node has another root.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from sparkctl.lab import sysfs
from sparkctl.lab.node_root import build, enter, forget_names, memory
from sparkctl.lab.spec import HALVES, HalfSpec, NodeSpec

RTMGRP_LINK, RTMGRP_IPV4_IFADDR = 0x1, 0x10  # linux/rtnetlink.h


class Mirror:
    """Keeps the live part of the imitated sysfs as the kernel's own links are."""

    def __init__(self) -> None:
        self.events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self.events.bind((0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR))
        self.events.setblocking(False)
        self._names: dict[int, str] = {}
        self._written: sysfs.Entries = {}

    def drain(self) -> None:
        """Forget what has been told: update() looks for itself."""
        while True:
            try:
                self.events.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                continue  # ENOBUFS: some were lost, which changes nothing

    def update(self, root: Path) -> None:
        """Write what has changed since the last time below `root`, the node's /sys."""
        shown = subprocess.run(["ip", "-json", "address"], capture_output=True, check=True).stdout
        links = {link["ifname"]: link for link in json.loads(shown)}
        names = {link["ifindex"]: name for name, link in links.items()}
        if self._names and self._names != names:
            forget_names(root)
        self._names = names
        for half in HALVES:
            if half.interface in links:
                try:
                    self._write(root, half, _state(links[half.interface]))
                except OSError as error:
                    if error.errno not in (errno.ESTALE, errno.ENOENT):
                        raise
                    self._names = {-1: ""}  # a name has changed since, which will be told

    def _write(self, root: Path, half: HalfSpec, state: sysfs.LinkState) -> None:
        entries, device = sysfs.speed(half, state), _device(root, half)
        if device:
            entries |= sysfs.port(half, state)
        changed = {n: v for n, v in entries.items() if self._written.get(n) != v}
        # What is written is known by the name that the device has at first: it keeps its files.
        sysfs.write(root, {n.replace(half.device_folder, device, 1): v for n, v in changed.items()})
        self._written |= changed


def _device(root: Path, half: HalfSpec) -> str:
    """The folder of a half's RDMA device, which may have another name now; "" without one."""
    folder = f"{half.pci_folder}/infiniband"
    names = os.listdir(root / folder) if (root / folder).is_dir() else []
    return f"{folder}/{names[0]}" if names else ""


def _state(link: dict[str, Any]) -> sysfs.LinkState:
    addresses = (a["local"] for a in link["addr_info"] if a["family"] == "inet")
    flags = link["flags"]
    return sysfs.LinkState(link["address"], "UP" in flags, "LOWER_UP" in flags, tuple(addresses))


def reap(sshd: int) -> bool:
    """Take leave of the children that have ended; says whether sshd is one of them."""
    ended = False
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if pid == 0:
            return ended
        ended |= pid == sshd


def main() -> None:
    """Become the node; ends when sshd does."""
    wanted = json.load(sys.stdin)
    node = NodeSpec(wanted["number"], Path(wanted["base"]), wanted["management_subnet"])
    socket.sethostname(node.name)
    upper = memory(node.folder / "mnt")
    mirror = Mirror()
    sysfs.write(upper, sysfs.fixed(node, cabled=wanted["cabled"]))
    mirror.update(upper)
    shares = {Path(k): Path(v) for k, v in wanted["shares"].items()}
    enter(build(node.folder / "mnt", node.folder / "files", shares))

    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)
    sshd = subprocess.Popen(wanted["sshd"])
    while not reap(sshd.pid):
        # Daemons of the node are adopted by its first process, which must reap them.
        ready, _, _ = select.select([woken, mirror.events.fileno()], [], [])
        signals = os.read(woken, 4096) if woken in ready else b""
        if mirror.events.fileno() in ready or signal.SIGUSR1 in signals:
            mirror.drain()
            mirror.update(Path("/sys"))


if __name__ == "__main__":
    main()
