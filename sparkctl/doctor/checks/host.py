"""The node outside the fabric: GPU, driver, kernel, memory, disks, limits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown, warn
from sparkctl.doctor.remedy import Action, Remedy, command
from sparkctl.facts.unread import known, required
from sparkctl.secret.text import command_line
from sparkctl.serving.commandline import memory_share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import View

GIB = 2**30
# Logs and Ray's session files grow with hours of serving.
DISK_FAIL, DISK_WARN = 1 * GIB, 4 * GIB
NOFILE = 4096  # Ray warns below this in its own start-up (ray/_private/services.py)
WRITTEN = ("logs", "temporary files")
SWAP_USED = 4 * GIB
BAD_DRIVER = "590."  # deadlocks in CUDA graph capture (reports of DGX Spark users)
# Kernels with KHO that took the CMA pool (reports of DGX Spark users): RDMA cannot register memory.
KHO = re.compile(r"^7\.0\.0-(1019-nvidia|31)\b")
KHO_MAJOR = 7  # before it no report


def gpu(view: View, name: str) -> Iterator[Finding]:
    """The GPUs that Ray is told of are there, and nobody else computes on them."""
    found = known(view.facts(name).gpu)
    if found.gpus is None:
        error = required(known(view.facts(name).gpu).gpu_error, "gpu.gpu_error")
        yield fail(
            f"the GPU cannot be asked: {error}",
            Evidence("an answer", error, "nvidia-smi --query-gpu"),
            Remedy("a wedged driver answers again after a reboot; `dmesg` names the Xid",
                   ("nvidia-smi", "sudo dmesg | grep -i -e nvrm -e xid")),
        )  # fmt: skip
        return
    wanted, count = view.inventory.gpus_of(view.node(name)), len(found.gpus)
    if count < wanted:
        yield fail(
            f"{count} GPUs, wanted {wanted}",
            Evidence(str(wanted), str(count), "nvidia-smi --query-gpu"),
            Remedy("load the driver, or correct ray.num_gpus", ("nvidia-smi",)),
        )
        return
    ours = {p.pid for p in view.running(name)}
    computing = required(known(view.facts(name).gpu).gpu_processes, "gpu.gpu_processes")
    others = [p for p in computing if p.pid not in ours]
    for process in others:
        who = f"pid {process.pid} ({command_line(process.name)})"
        yield warn(
            f"{who} computes on the GPU too: its memory is the model's",
            Evidence("no process but ours", who, "nvidia-smi --query-compute-apps"),
            Remedy("end it if it is not needed"),
        )
    if not others:
        yield ok(", ".join(g.name for g in found.gpus))


def driver(view: View, name: str) -> Iterator[Finding]:
    """Not the driver branch that is known to deadlock."""
    gpus = known(view.facts(name).gpu).gpus
    if not gpus or not gpus[0].driver[:1].isdigit():
        yield unknown("nvidia-smi names no driver")
        return
    version = gpus[0].driver
    if version.startswith(BAD_DRIVER):
        yield warn(
            f"driver {version}: 590.x deadlocks in CUDA graph capture on GB10",
            Evidence("580.x", version, "nvidia-smi --query-gpu=driver_version"),
            Remedy("install the 580 branch", ("sudo apt-get install nvidia-driver-580-open",)),
        )
    else:
        yield ok(f"driver {version}")


def kernel(view: View, name: str) -> Iterator[Finding]:
    """Not a kernel whose kexec handover took the CMA pool away."""
    release = required(known(view.facts(name).system).kernel, "system.kernel")
    if not release[:1].isdigit():
        yield unknown(f"kernel {release} has no number")
        return
    if int(release.partition(".")[0]) < KHO_MAJOR:
        yield ok(f"kernel {release}")
        return
    cma = required(known(view.facts(name).memory).get("CmaTotal"), "memory.CmaTotal")
    if (
        cma == 0
        and "kho=off"
        not in required(known(view.facts(name).system).cmdline, "system.cmdline").split()
    ):
        affected = KHO.match(release)
        say = fail if affected else warn
        said = "with KHO took the CMA pool" if affected else "has no CMA pool, as where KHO took it"
        yield say(
            f"kernel {release} {said}: RDMA registration fails with `Cannot allocate memory`",
            Evidence("CmaTotal over 0, or kho=off", "CmaTotal: 0 kB", "/proc/meminfo"),
            Remedy(
                "boot with kho=off, or a 6.17 kernel",
                ("sudoedit /etc/default/grub  # GRUB_CMDLINE_LINUX: add kho=off",
                 "sudo update-grub && sudo reboot"),
            ),
        )  # fmt: skip
    else:
        yield ok(f"kernel {release}")


def memory(view: View, name: str) -> Iterator[Finding]:
    """MemAvailable is enough for what vLLM will ask for: GB10's GPU shares it."""
    found = known(view.facts(name).memory)
    if view.serves(name):
        yield info("vLLM runs and has its share of the memory")
        return
    share = memory_share(view.inventory)
    wanted, free = found["MemTotal"] * share, found["MemAvailable"]
    if free >= wanted:
        yield ok(f"{free / GIB:.1f} GiB available, {wanted / GIB:.1f} GiB wanted")
        return
    yield fail(
        f"{free / GIB:.1f} GiB are available, vLLM will want {wanted / GIB:.1f} GiB"
        f" ({share:g} of {found['MemTotal'] / GIB:.1f} GiB)",
        Evidence(f"{wanted / GIB:.1f} GiB", f"{free / GIB:.1f} GiB", "/proc/meminfo MemAvailable"),
        Remedy(
            "drop the page cache, end what else holds memory, or lower vllm.arguments"
            " gpu-memory-utilization; memory gone with nothing running comes back with a reboot",
            ("ps -eo pid,rss,args --sort=-rss | head",),
            (Action("drop the page cache", ("sysctl", "-w", "vm.drop_caches=3")),),
        ),
    )


def swap(view: View, name: str) -> Iterator[Finding]:
    """A node that swaps serves tokens at the disk's speed."""
    found = known(view.facts(name).memory)
    used = found["SwapTotal"] - found["SwapFree"]
    if used > SWAP_USED:
        yield warn(
            f"{used / GIB:.1f} GiB are swapped out",
            Evidence(f"under {SWAP_USED / GIB:g} GiB", f"{used / GIB:.1f} GiB", "/proc/meminfo"),
            Remedy("end what holds the memory, then empty the swap",
                   ("sudo swapoff -a && sudo swapon -a",)),
        )  # fmt: skip
    else:
        yield ok(f"{used / GIB:.1f} GiB of swap in use")


def disk(view: View, name: str) -> Iterator[Finding]:
    """Room for logs, Ray's files and the model."""
    low, found = False, known(view.facts(name).disk)
    silent = [what for what in WRITTEN if what not in found]
    for what, place in found.items():
        free, path = place.free, place.path
        if free is None:
            silent.append(f"{what} at {path}")
            continue
        if free >= DISK_WARN or (what == "model" and free >= DISK_FAIL):
            continue
        low = True
        say = fail if free < DISK_FAIL and what != "model" else warn
        yield say(
            f"{free / GIB:.1f} GiB are free for {what} at {path}",
            Evidence(f"{DISK_WARN / GIB:g} GiB", f"{free / GIB:.1f} GiB", command("df", path)),
            Remedy(
                "make room",
                (command("sudo", "du", "-xh", "--max-depth=2", path) + " | sort -h | tail",),
            ),
        )
    if silent:
        yield unknown(f"the room for {', '.join(silent)} could not be read")
    elif not low:
        yield ok("room on every disk that is written to")


def login_limits(view: View, name: str) -> Iterator[Finding]:
    """Open files for Ray, and shared memory that outlives the SSH session."""
    system, facts = known(view.facts(name).system), view.facts(name)
    files = known(view.facts(name).system).limits.nofile
    few = 0 <= files < NOFILE
    if few:
        yield warn(
            f"{files} open files are allowed, Ray wants {NOFILE} or more",
            Evidence(str(NOFILE), str(files), "ulimit -n of a login over SSH"),
            Remedy("raise it, then log in anew",
                   ("echo '* - nofile 65536' | sudo tee /etc/security/limits.d/90-nofile.conf",)),
        )  # fmt: skip
    # logind removes a user's shared memory at the last logout; system users are exempt.
    removed = system.remove_ipc and not system.linger and facts.uid >= 1000
    if removed:
        yield warn(
            f"logind removes {facts.user}'s shared memory when the SSH session ends",
            Evidence("RemoveIPC=no, or linger", "RemoveIPC=yes, no linger", "loginctl"),
            Remedy(
                "let the user linger",
                (command("sudo", "loginctl", "enable-linger", facts.user),),
            ),
        )
    if not few and not removed:
        yield ok(f"{'unlimited' if files < 0 else files} open files; shared memory is kept")


CHECKS = (
    Check("host.gpu", "node", gpu, preflight=True),
    Check("host.driver", "node", driver),
    Check("host.kernel", "node", kernel, preflight=True),
    Check("host.memory", "node", memory, preflight=True),
    Check("host.swap", "node", swap),
    Check("host.disk", "node", disk, preflight=True),
    Check("host.login", "node", login_limits),
)
