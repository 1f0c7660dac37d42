"""Faults of the machine: disk, memory, clock, kernel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.lab.faults.fault import Fault

if TYPE_CHECKING:
    from sparkctl.lab.faults.target import Target

CLOCK = Path(__file__).with_name("clock.c")
SKEW = 120  # seconds
LOW = 1024 * 1024  # KiB of memory
LEFT = 64  # KiB free on the full disk
KERNEL = "7.0.0-1019-nvidia"
MEMINFO = "/proc/meminfo"


def _disk(target: Target) -> None:
    """The file system shrinks to its content, which does not change."""
    size, total, free = map(int, target.run("stat", "-f", "-c", "%S %b %f", "/tmp").split())
    used, whole = (total - free) * size // 1024, total * size // 1024
    resize = f"mount -t tmpfs -o remount,size={used + LEFT}k tmpfs /tmp"
    target.change(resize, "resize", path="/tmp", kib=whole)


def _meminfo(target: Target, **values: int) -> None:
    text = target.read(MEMINFO)
    for name, value in values.items():
        line = f"{name + ':':16}{value:8} kB\n"
        text, found = re.subn(rf"^{name}:.*\n", line, text, flags=re.MULTILINE)
        text += "" if found else line  # not every kernel has CMA
    target.cover(MEMINFO, text, "0444")


def _memory(target: Target) -> None:
    _meminfo(target, MemFree=LOW, MemAvailable=LOW)


def _clock(target: Target) -> None:
    library = f"{target.folder}/clock.so"
    build = ["gcc", "-shared", "-fPIC", "-O2", f"-DSKEW={SKEW}", "-x", "c", "-", "-o", library]
    target.run(*build, text=CLOCK.read_text())
    target.cover("/etc/ld.so.preload", f"{library}\n")


def _kernel(target: Target) -> None:
    target.cover("/proc/sys/kernel/osrelease", f"{KERNEL}\n", "0444")
    _meminfo(target, CmaTotal=0, CmaFree=0)


FAULTS = (
    Fault("disk-full", f"/tmp has {LEFT} KiB free", _disk, touches=("tmp",)),
    Fault(
        "memory-low",
        f"{LOW >> 20} GiB of memory is available (imitated)",
        _memory,
        touches=("meminfo",),
    ),
    Fault(
        "clock-skew",
        f"the clock is {SKEW} s fast (imitated)",
        _clock,
        touches=("ld.so.preload",),
    ),
    Fault(
        "kho-kernel",
        f"kernel {KERNEL} (imitated), whose kexec handover took the CMA pool",
        _kernel,
        touches=("meminfo", "osrelease"),
    ),
)
