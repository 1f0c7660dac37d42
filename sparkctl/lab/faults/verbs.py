"""Faults of what RDMA needs in a process: uverbs devices, rdma-core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.lab.faults.fault import Fault

if TYPE_CHECKING:
    from sparkctl.lab.faults.target import Target

UVERBS = "/dev/infiniband"


def _hide_devices(target: Target) -> None:
    target.hide(UVERBS)


def _deny(target: Target) -> None:
    """On a mount with `nodev` even root cannot open a device: EACCES (open(2))."""
    copy = target.folder / "infiniband"
    target.run("mkdir", str(copy))
    mount = f"mount -t tmpfs -o nodev,mode=755 tmpfs {copy}"
    target.change(mount, "unmount", path=str(copy))
    target.run("cp", "--archive", f"{UVERBS}/.", str(copy))
    target.cover_by(UVERBS, str(copy))


FIND = "find /usr/lib /usr/lib64 -maxdepth 2"
LIBRARIES = f"{FIND} -name 'libibverbs.so*'"
PROVIDERS = f"{FIND} -name libibverbs -type d"


def _hide_libraries(target: Target) -> None:
    for path in target.run("sh", "-c", f"{LIBRARIES} 2>/dev/null || true").splitlines():
        target.hide_file(path)
    for path in target.run("sh", "-c", f"{PROVIDERS} 2>/dev/null || true").splitlines():
        target.hide(path)


FAULTS = (
    Fault(
        "uverbs-missing",
        f"{UVERBS} is empty while sysfs is complete (both imitated)",
        _hide_devices,
        touches=("uverbs",),
    ),
    Fault(
        "uverbs-denied",
        f"the imitated {UVERBS}/uverbsN cannot be opened",
        _deny,
        touches=("uverbs",),
    ),
    Fault(
        "no-libibverbs",
        "rdma-core's libraries are missing",
        _hide_libraries,
        touches=("rdma-core",),
    ),
)
