"""The groups of a probe's answer about the host: GPU, kernel log, limits, model."""

from __future__ import annotations

from typing import Literal

from sparkctl.facts.shape import (
    Bits,
    Count,
    Name,
    Pid,
    Reading,
    Rows,
    Shape,
    Text,
    Time,
    Uid,
    Whole,
)

# Why nvidia-smi gave no answer (node/gpu.py).
GpuProblem = Literal["absent", "timeout", "mismatch", "unloaded", "no-devices", "failed"]


class Gpu(Shape):
    """A GPU: its SM clock and the highest one in MHz, its use in %, its power in W, its temperature
    in °C, and the bits of why its clock is not higher (nvml.h, nvmlClocksEventReason*).
    """

    name: Name
    driver: Name
    clock: Reading | None = None
    clock_max: Reading | None = None
    utilization: Reading | None = None
    power: Reading | None = None
    temperature: Reading | None = None
    reasons: Bits | None = None


class GpuProcess(Shape):
    """A process that computes on the GPU."""

    pid: Pid
    name: Text


class Gpus(Shape):
    """What nvidia-smi reports."""

    gpus: Rows[Gpu] | None
    gpu_error: Text | None
    gpu_problem: GpuProblem | None = None
    gpu_processes: Rows[GpuProcess] | None


class KernelLine(Shape):
    """The last of `count` alike errors of the GPU's driver in the kernel log; `xid` is its number,
    if it has one.
    """

    at: Time
    text: Text
    xid: Count | None
    no_memory: bool
    count: Count


class KernelLog(Shape):
    """`count` lines of the driver in the kernel's log, and those that are errors, by kind; `error`
    is why the log could not be read, `complete` whether it goes back to boot.
    """

    source: Name | None
    error: Text | None
    complete: bool
    count: Count
    lines: Rows[KernelLine]


class LimitLine(Shape):
    """A line of pam_limits' files; a value of None exempts its domain from all limits."""

    path: Name
    line: Count
    domain: Name
    type: Name
    value: Text | None


class LimitFiles(Shape):
    """What decides a login's limit of locked memory (node/limits.py)."""

    lines: Rows[LimitLine]
    unread: Rows[Name]
    groups: Rows[Name]
    gids: Rows[Uid]
    use_pam: bool | None
    pam_limits: bool | None
    sshd_config: Name
    systemd: bool


class HubModel(Shape):
    """A model that vLLM gets from the hub; `path` is its directory in the cache, if there is one,
    `dangling` are the links there that lead nowhere.
    """

    is_path: Literal[False]
    path: Name | None = None
    dangling: Rows[Text] = ()


class BrokenShard(Shape):
    """A file whose size is not what its header says."""

    name: Name
    wanted: Whole | None
    found: Count


class UnreadableShard(Shape):
    """A file that the SSH user may not read."""

    name: Name
    uid: Uid
    user: Text
    mode: Name


class Checkpoint(Shape):
    """A model in a directory; `bytes` is the sum of its shards, `dangling` are links that lead
    nowhere.
    """

    is_path: Literal[True]
    path: Name
    exists: bool
    config: bool
    shards: Count
    bytes: Count
    missing: Rows[Text]
    broken: Rows[BrokenShard]
    unreadable: Rows[UnreadableShard]
    dangling: Rows[Text] = ()
    digest: Name

    @property
    def whole(self) -> bool:
        """Whether nothing is known to be missing, damaged or unreadable."""
        wrong = self.missing or self.broken or self.unreadable or self.dangling
        return self.exists and self.config and bool(self.shards) and not wrong
