"""The node's GPU, its driver, and the kernel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check
from sparkctl.doctor.checks.gpuload import UNLISTED, clocks
from sparkctl.doctor.checks.kernellog import kernel_log
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.facts.unread import known, required
from sparkctl.secret.text import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.hostgroups import Gpus

QUERY = "nvidia-smi --query-gpu"
COMPUTE = "nvidia-smi --query-compute-apps"
KERNEL_LOG = "sudo dmesg | grep -i -e nvrm -e xid"
INSTALL = "sudo apt-get install nvidia-driver-580-open"
BAD_DRIVER = "590."  # deadlocks in CUDA graph capture (reports of DGX Spark users)
# Kernels with KHO that took the CMA pool (reports of DGX Spark users): RDMA cannot register memory.
KHO = re.compile(r"^7\.0\.0-(1019-nvidia|31)\b")
KHO_MAJOR = 7  # of the first kernel with a report
KHO_OFF = "kho=off"


def gpu(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The node has the GPUs that Ray is given, and no other process uses them."""
    found = known(snapshot.facts(name).gpu)
    if found.gpus is None:
        yield _no_answer(found)
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


def _no_answer(found: Gpus) -> Finding:
    """Why nvidia-smi gave no list; each reason has its own cure."""
    error = required(found.gpu_error, "gpu.gpu_error")
    evidence, data = Evidence("a list of GPUs", error, QUERY), {"error": error}
    if found.gpu_problem == "absent":
        return fail(
            "nvidia-smi is not installed: the NVIDIA driver is missing, or its tools are",
            evidence,
            Remedy(
                "install the driver, then reboot; in a container give it the GPU (`--gpus all`)",
                (INSTALL,),
            ),
            code="nvidia-smi-missing",
            data=data,
        )
    if found.gpu_problem == "mismatch":
        return fail(
            "the driver's kernel module and its libraries have different versions, as after an"
            " update without a reboot",
            evidence,
            Remedy("reboot the node", ("cat /proc/driver/nvidia/version", "sudo reboot")),
            code="driver-mismatch",
            data=data,
        )
    if found.gpu_problem == "unloaded":
        return fail(
            "the driver's kernel module is not loaded",
            evidence,
            Remedy(
                "load it; if there is none for this kernel, install it for the kernel that runs",
                ("sudo modprobe nvidia", "uname -r; dkms status"),
            ),
            code="driver-not-loaded",
            data=data,
        )
    if found.gpu_problem == "no-devices":
        return fail(
            "the driver is loaded and finds no GPU",
            evidence,
            Remedy(
                "see what the driver says of it, then power the node off and on",
                ("lspci -d 10de:", KERNEL_LOG),
            ),
            code="no-gpu-found",
            data=data,
        )
    if found.gpu_problem == "timeout":
        return fail(
            f"nvidia-smi does not answer, so the driver hangs: {error}",
            evidence,
            Remedy("reboot the node; the kernel's log shows its Xid error", (KERNEL_LOG,)),
            code="driver-hangs",
            data=data,
        )
    return fail(
        f"nvidia-smi failed: {error}",
        evidence,
        Remedy("the kernel's log may show why", ("nvidia-smi", KERNEL_LOG)),
        code="nvidia-smi-failed",
        data=data,
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
        reason = "nvidia-smi reports no driver version" if gpus else UNLISTED
        yield unknown(reason, code="no-version")
        return
    version = gpus[0].driver
    if version.startswith(BAD_DRIVER):
        yield warn(
            f"driver {version} deadlocks in CUDA graph capture on GB10, as all of 590.x do",
            Evidence("580.x", version, f"{QUERY}=driver_version"),
            Remedy("install the 580 branch", (INSTALL,)),
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
    Check("host.gpu-clocks", "node", clocks),
    Check("host.kernel-log", "node", kernel_log),
    Check("host.kernel", "node", kernel, preflight=True),
)
