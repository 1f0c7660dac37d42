"""What the GPU's driver wrote to the kernel's log since the node's boot."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sparkctl.doctor.finding import Evidence, Finding, info, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.facts.unread import known
from sparkctl.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.hostgroups import KernelLine, KernelLog

# Errors of a program, not of the GPU: it faulted (13, 31), was stopped (43) or was killed (45), as
# by `down` (docs.nvidia.com/deploy/xid-errors).
OF_PROGRAMS = frozenset({13, 31, 43, 45})
READ = "sudo dmesg --ctime | grep -e NVRM -e Xid"
BEFORE = "sudo journalctl --dmesg --boot=-1 | grep -e NVRM -e Xid  # before a reset"


def kernel_log(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The GPU's driver reports no lack of memory and no error of the GPU since boot."""
    log = known(snapshot.facts(name).kernel_log)
    if log.source is None:
        yield unknown(
            f"{snapshot.facts(name).user} may not read the kernel's log, where the GPU's driver"
            f" writes its errors: {log.error}",
            fix=Remedy(
                f"read it as root, or let {snapshot.facts(name).user} read it (group adm)", (READ,)
            ),
            code="log-unread",
            data={"error": log.error},
        )
        return
    memory = [line for line in log.lines if line.no_memory]
    xids = [line for line in log.lines if line.xid is not None]
    programs = [line for line in xids if line.xid in OF_PROGRAMS]
    errors = [line for line in xids if line.xid not in OF_PROGRAMS]
    if memory:
        yield _no_memory(log, memory)
    if errors:
        yield _xid(log, errors)
    if programs:
        yield info(
            f"the GPU's driver reports a program's error, {_when(programs)}",
            Evidence("no Xid", programs[-1].text, log.source),
            code="xid-program",
            data={"xid": _numbers(programs), "last": programs[-1].at},
        )
    if not xids and not memory:
        yield _nothing(log)


def _nothing(log: KernelLog) -> Finding:
    since = "since boot" if log.complete else "in what is left of the kernel's log"
    others = f" ({counted(log.count, 'other line')} of the driver)" if log.count else ""
    return ok(f"the GPU's driver reports no error {since}{others}")


def _no_memory(log: KernelLog, lines: Sequence[KernelLine]) -> Finding:
    return warn(
        f"the GPU's driver ran out of memory, {_when(lines)}; a node may reset after that",
        Evidence("no NV_ERR_NO_MEMORY", lines[-1].text, log.source or ""),
        Remedy(
            "leave more memory free: lower gpu-memory-utilization, unset"
            " PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True, keep TORCHINDUCTOR_MAX_AUTOTUNE=0",
            (READ, BEFORE),
        ),
        code="nvrm-no-memory",
        data={"lines": _count(lines), "last": lines[-1].at},
    )


def _xid(log: KernelLog, lines: Sequence[KernelLine]) -> Finding:
    numbers = _numbers(lines)
    return warn(
        f"the GPU reports Xid {', '.join(numbers)}, {_when(lines)}",
        Evidence("no Xid", lines[-1].text, log.source or ""),
        Remedy(
            "look the number up at docs.nvidia.com/deploy/xid-errors; reboot the node if the GPU"
            " does not answer, and have it repaired if it comes back",
            (READ, BEFORE),
        ),
        code="xid",
        data={"xid": numbers, "last": lines[-1].at},
    )


def _count(lines: Sequence[KernelLine]) -> int:
    return sum(line.count for line in lines)


def _numbers(lines: Sequence[KernelLine]) -> list[str]:
    return [str(n) for n in sorted({line.xid for line in lines if line.xid is not None})]


def _when(lines: Sequence[KernelLine]) -> str:
    """How often, and when the last time."""
    last = datetime.fromtimestamp(lines[-1].at, UTC)
    return f"{counted(_count(lines), 'line')}, the last at {last:%Y-%m-%d %H:%M:%S} UTC"
