"""The node's GPU, its driver, and the kernel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.facts.unread import known, required
from sparkctl.secret.text import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.groups import Gpus

QUERY = "nvidia-smi --query-gpu"
COMPUTE = "nvidia-smi --query-compute-apps"
BAD_DRIVER = "590."  # deadlocks in CUDA graph capture (reports of DGX Spark users)
# Kernels with KHO that took the CMA pool (reports of DGX Spark users): RDMA cannot register memory.
KHO = re.compile(r"^7\.0\.0-(1019-nvidia|31)\b")
KHO_MAJOR = 7  # of the first kernel with a report
KHO_OFF = "kho=off"


def gpu(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The node has the GPUs that Ray is given, and no other process uses them."""
    found = known(snapshot.facts(name).gpu)
    if found.gpus is None:
        yield _no_answer(required(found.gpu_error, "gpu.gpu_error"))
        return
    expected, count = snapshot.inventory.gpus_of(snapshot.node(name)), len(found.gpus)
    if count < expected:
        yield fail(
            f"{count} of {expected} required GPUs found",
            Evidence(str(expected), str(count), QUERY),
            Remedy("load the driver, or correct ray.num_gpus", ("nvidia-smi",)),
            code="gpus-missing",
            data={"expected": expected, "got": count},
        )
        return
    shared = [*_others(found, {p.pid for p in snapshot.running(name)})]
    yield from shared
    if not shared:
        yield ok(", ".join(g.name for g in found.gpus))


def _no_answer(error: str) -> Finding:
    return fail(
        f"nvidia-smi failed: {error}",
        Evidence("a list of GPUs", error, QUERY),
        Remedy(
            "reboot the node if the driver hangs; `dmesg` shows its Xid error",
            ("nvidia-smi", "sudo dmesg | grep -i -e nvrm -e xid"),
        ),
        code="nvidia-smi-failed",
        data={"error": error},
    )


def _others(found: Gpus, ours: set[int]) -> Iterator[Finding]:
    """The processes on the GPU that are not the cluster's."""
    for process in required(found.gpu_processes, "gpu.gpu_processes"):
        if process.pid in ours:
            continue
        program = command_line(process.name)
        yield warn(
            f"another process uses the GPU (pid {process.pid}, {program});"
            " it shares memory with the model",
            Evidence("processes of this cluster alone", f"pid {process.pid}, {program}", COMPUTE),
            Remedy("end it if it is not needed"),
            code="gpu-shared",
            data={"pid": process.pid, "process": program},
        )


def driver(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The driver is not of the branch that is known to deadlock."""
    gpus = known(snapshot.facts(name).gpu).gpus
    if not gpus or not gpus[0].driver[:1].isdigit():
        yield unknown("nvidia-smi reports no driver version", code="no-version")
        return
    version = gpus[0].driver
    if version.startswith(BAD_DRIVER):
        yield warn(
            f"driver {version} deadlocks in CUDA graph capture on GB10, as all of 590.x do",
            Evidence("580.x", version, f"{QUERY}=driver_version"),
            Remedy("install the 580 branch", ("sudo apt-get install nvidia-driver-580-open",)),
            code="driver-deadlocks",
            data={"got": version},
        )
    else:
        yield ok(f"driver {version}")


def kernel(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The kernel has not lost its CMA pool to KHO, its kexec handover."""
    system = known(snapshot.facts(name).system)
    release = required(system.kernel, "system.kernel")
    if not release[:1].isdigit():
        yield unknown(f"kernel {release} has no version number", code="no-version")
        return
    if int(release.partition(".")[0]) < KHO_MAJOR:
        yield ok(f"kernel {release}")
        return
    cma = required(known(snapshot.facts(name).memory).get("CmaTotal"), "memory.CmaTotal")
    if cma or KHO_OFF in required(system.cmdline, "system.cmdline").split():
        yield ok(f"kernel {release}")
        return
    affected = bool(KHO.match(release))
    effect = "lost its CMA pool to KHO" if affected else "has no CMA pool, as after KHO"
    yield (fail if affected else warn)(
        f"kernel {release} {effect}; RDMA memory registration {'fails' if affected else 'may fail'}"
        " with `Cannot allocate memory`",
        Evidence(f"CmaTotal over 0, or {KHO_OFF}", "CmaTotal: 0 kB", "/proc/meminfo"),
        Remedy(
            f"boot with {KHO_OFF}, or with a 6.17 kernel",
            (
                f"sudoedit /etc/default/grub  # GRUB_CMDLINE_LINUX: add {KHO_OFF}",
                "sudo update-grub && sudo reboot",
            ),
        ),
        code="kho-kernel" if affected else "no-cma-pool",
        data={"kernel": release},
    )


CHECKS = (
    Check("host.gpu", "node", gpu, preflight=True),
    Check("host.driver", "node", driver),
    Check("host.kernel", "node", kernel, preflight=True),
)
