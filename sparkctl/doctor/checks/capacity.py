"""What the node has for a model: memory, swap, disks, and the limits of a login."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor import applies
from sparkctl.doctor.check import Check
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown, warn
from sparkctl.doctor.remedy import Action, Remedy, command
from sparkctl.facts.unread import known, required

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.groups import System

GIB = 2**30
MEMINFO = "/proc/meminfo"
SWAP_USED = 4 * GIB
# Logs and Ray's session files grow with hours of serving.
DISK_FAIL, DISK_WARN = 1 * GIB, 4 * GIB
WRITTEN = ("logs", "temporary files")
MODEL = "model"  # it is only read there
NOFILE = 4096  # Ray warns below this in its own start-up (ray/_private/services.py)
NOFILE_CONF = "/etc/security/limits.d/zz-nofile.conf"
FIRST_USER = 1000  # logind exempts the system users below from RemoveIPC (logind.conf(5))


def memory(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """MemAvailable is enough for what the engine will request: GB10's GPU shares it."""
    found, engine = known(snapshot.facts(name).memory), snapshot.engine
    title, claimed = engine.title, engine.judged.memory
    if snapshot.serves(name):
        yield info(f"{title} is running and has its share of the memory", code=engine.codes.running)
        return
    if claimed is None:
        return
    share = claimed.of(snapshot.inventory)
    total = required(found.get("MemTotal"), "memory.MemTotal")
    free = required(found.get("MemAvailable"), "memory.MemAvailable")
    expected = int(total * share)
    has, needs = _gib(free), _gib(expected)
    if free >= expected:
        yield ok(f"{has} available; {title} will request {needs}")
        return
    yield fail(
        f"{has} of memory is available; {title} will request {needs} ({share:g} of {_gib(total)})",
        Evidence(needs, has, f"{MEMINFO} MemAvailable"),
        Remedy(
            f"drop the page cache, end what else uses memory, or lower {claimed.flag} in"
            f" {snapshot.inventory.key}.arguments; reboot if nothing runs and memory is still"
            " missing",
            ("ps -eo pid,rss,args --sort=-rss | head",),
            (Action("drop the page cache", "drop-caches"),),
        ),
        code="low-memory",
        data={"expected": expected, "got": free},
    )


def swap(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """Little is swapped out: what is generated from swap comes at the disk's speed."""
    found = known(snapshot.facts(name).memory)
    total = required(found.get("SwapTotal"), "memory.SwapTotal")
    used = total - required(found.get("SwapFree"), "memory.SwapFree")
    if used <= SWAP_USED:
        yield ok(f"{_gib(used)} of swap is in use")
        return
    yield warn(
        f"{_gib(used)} of memory is swapped out",
        Evidence(f"under {_gib(SWAP_USED)}", _gib(used), MEMINFO),
        Remedy(
            "end what uses the memory, then empty the swap", ("sudo swapoff -a && sudo swapon -a",)
        ),
        code="swapped-out",
        data={"expected": SWAP_USED, "got": used},
    )


def disk(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """There is room for logs, Ray's files and the model."""
    found = known(snapshot.facts(name).disk)
    unread = [purpose for purpose in WRITTEN if purpose not in found]
    low = False
    for purpose, place in found.items():
        if place.free is None:
            unread.append(f"{purpose} at {place.path}")
        elif place.free < (bound := DISK_FAIL if purpose == MODEL else DISK_WARN):
            low = True
            yield _low(purpose, place.path, place.free, bound)
    if unread:
        yield unknown(f"the free space for {', '.join(unread)} could not be read")
    elif not low:
        yield ok("every disk has room")


def _low(purpose: str, path: str, free: int, bound: int) -> Finding:
    full = free < DISK_FAIL and purpose != MODEL
    largest = command("sudo", "du", "-xh", "--max-depth=2", path) + " | sort -h | tail"
    return (fail if full else warn)(
        f"{_gib(free)} is free for {purpose} at {path}",
        Evidence(_gib(bound), _gib(free), command("df", path)),
        Remedy("make room", (largest,)),
        code="low-disk",
        data={"purpose": purpose, "path": path, "expected": bound, "got": free},
    )


def login_limits(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """Ray may open enough files, and shared memory outlives the SSH session."""
    facts, system = snapshot.facts(name), known(snapshot.facts(name).system)
    files = system.limits.nofile
    wrong = [*_few_files(files, facts.user), *_removed_memory(system, facts.user, facts.uid)]
    yield from wrong
    if not wrong:
        listed = "unlimited" if files < 0 else str(files)
        yield ok(f"{listed} open files are allowed; shared memory is kept")


def _few_files(limit: int, user: str) -> Iterator[Finding]:
    if not 0 <= limit < NOFILE:
        return
    # A line for the user wins over one for a group or `*`, which is not for root (limits.conf(5)).
    line = f"{command('echo', f'{user} - nofile 65536')} | sudo tee -a {NOFILE_CONF}"
    yield warn(
        f"{limit} open files are allowed; Ray requires {NOFILE}",
        Evidence(str(NOFILE), str(limit), "ulimit -n of a login over SSH"),
        Remedy("raise the limit, then log in again", (line,)),
        code="few-open-files",
        data={"expected": NOFILE, "got": limit},
    )


def _removed_memory(system: System, user: str, uid: int) -> Iterator[Finding]:
    if not system.remove_ipc or system.linger or uid < FIRST_USER:
        return
    yield warn(
        f"logind removes {user}'s shared memory when the last SSH session ends",
        Evidence("RemoveIPC=no, or linger", "RemoveIPC=yes, no linger", "loginctl"),
        Remedy("enable linger for the user", (command("sudo", "loginctl", "enable-linger", user),)),
        code="shared-memory-removed",
        data={"user": user},
    )


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


CHECKS = (
    Check("host.memory", "node", memory, preflight=True, lacks=applies.memory),
    Check("host.swap", "node", swap),
    Check("host.disk", "node", disk, preflight=True),
    Check("host.login", "node", login_limits),
)
