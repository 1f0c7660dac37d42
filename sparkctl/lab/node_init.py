"""The first process of an imitated node: makes its root, starts sshd, reaps orphans.

node.py runs it under `unshare` with a Request on stdin. While the node runs, the imitated sysfs
follows the kernel's links; SIGUSR1 makes it look at once. The standard library alone, all of it
imported at the start: afterwards the node has another root.
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
from typing import TypedDict

from sparkctl.lab import iproute, sysfs
from sparkctl.lab.containers import cgroups, engines
from sparkctl.lab.hardware import HARDWARE, Hardware
from sparkctl.lab.node_root import build, drop_names, enter, mount_layers
from sparkctl.lab.spec import HALVES, HalfSpec, NodeSpec

RTMGRP_LINK, RTMGRP_IPV4_IFADDR = 0x1, 0x10  # linux/rtnetlink.h


class Request(TypedDict):
    """What node.py asks for; `shares` are paths of the node and folders of this machine.

    `containers` are container engines, `cgroups` the hierarchies that they need, `image` is the
    path of their image's archive on the node.
    """

    number: int
    base: str
    management_subnet: str
    hardware: str
    cabled: bool
    sshd: list[str]
    shares: dict[str, str]
    containers: list[str]
    cgroups: list[str]
    image: str


class Mirror:
    """Writes the part of the imitated sysfs that follows the kernel's links."""

    def __init__(self, hardware: Hardware) -> None:
        self._hardware = hardware
        self.events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self.events.bind((0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR))
        self.events.setblocking(False)
        self._names: dict[int, str] = {}
        self._written: sysfs.Entries = {}

    def drain(self) -> None:
        """Discard the pending events; update() reads the links itself."""
        while True:
            try:
                self.events.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                continue  # ENOBUFS: some were lost, which changes nothing

    def update(self, root: Path) -> None:
        """Write what has changed since the last update below `root`, the node's /sys."""
        shown = subprocess.run(["ip", "-json", "address"], capture_output=True, check=True).stdout
        links = iproute.links(shown)
        names = {link["ifindex"]: name for name, link in links.items()}
        if self._names and self._names != names:
            drop_names(root)
        self._names = names
        for half in HALVES:
            if half.interface not in links:
                continue
            try:
                self._write(root, half, _state(links[half.interface]))
            except OSError as error:
                if error.errno not in (errno.ESTALE, errno.ENOENT):
                    raise
                self._names = {-1: ""}  # renamed meanwhile: its event is still to come

    def _write(self, root: Path, half: HalfSpec, state: sysfs.LinkState) -> None:
        entries, name = sysfs.speed(half, state), self._device(root, half)
        if name:
            entries |= sysfs.port(self._hardware, half, state)
        changed = {n: v for n, v in entries.items() if self._written.get(n) != v}
        # `_written` has the device's first name; the files are under its present one.
        first = self._hardware.device_folder(half)
        present = f"{first.rpartition('/')[0]}/{name}"
        sysfs.write(root, {n.replace(first, present, 1): v for n, v in changed.items()})
        self._written |= changed

    def _device(self, root: Path, half: HalfSpec) -> str:
        """The name of a half's RDMA device, which may have changed; "" without a device."""
        path = root / self._hardware.verbs_folder(half) / "ibdev"
        return path.read_text().strip() if path.exists() else ""


def _state(link: iproute.Link) -> sysfs.LinkState:
    up, carrier = iproute.is_up(link), iproute.has_carrier(link)
    return sysfs.LinkState(link["address"], up, carrier, iproute.ipv4(link))


def reap(sshd: int) -> bool:
    """Reap the children that have ended; gives whether sshd is one of them."""
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
    """Become the node; returns when sshd has ended."""
    request: Request = json.load(sys.stdin)
    hardware, subnet = HARDWARE[request["hardware"]], request["management_subnet"]
    node = NodeSpec(request["number"], Path(request["base"]), subnet, hardware)
    socket.sethostname(node.name)
    layer = mount_layers(node.folder / "mnt")
    mirror = Mirror(hardware)
    sysfs.write(layer, sysfs.static(node, cabled=request["cabled"]))
    mirror.update(layer)
    shares = {Path(k): Path(v) for k, v in request["shares"].items()}
    enter(build(node.folder / "mnt", node.folder / "files", shares))
    if request["containers"]:
        cgroups.mount_own(request["cgroups"])
        engines.add_user(request["base"])
        engines.start(request["containers"], request["image"])

    wakeups, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)
    sshd = subprocess.Popen(request["sshd"])
    while not reap(sshd.pid):  # orphans on the node become children of its first process
        ready, _, _ = select.select([wakeups, mirror.events.fileno()], [], [])
        signals = os.read(wakeups, 4096) if wakeups in ready else b""
        if mirror.events.fileno() in ready or signal.SIGUSR1 in signals:
            mirror.drain()
            mirror.update(Path("/sys"))


if __name__ == "__main__":
    main()
