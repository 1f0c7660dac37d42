"""Faults of the GPU and its driver, all of them imitated."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.lab.faults.fault import Fault

if TYPE_CHECKING:
    from sparkctl.lab.faults.target import Target

DRIVER = "590.44.01"
SMI, KMSG = "/usr/local/bin/nvidia-smi", "/dev/kmsg"
READINGS = "clock={} utilization={} power={} temperature={} reasons={}"
SLOW = READINGS.format(611, 96, 24.31, 52, "0x0000000000000004")
SPINNING = READINGS.format(2411, 96, 21.85, 55, "0x0000000000000000")
# As drivers of 580 print them.
MISMATCH = """\
#!/bin/sh
echo 'Failed to initialize NVML: Driver/library version mismatch' >&2
echo 'NVML library version: 580.126' >&2
exit 18
"""
NO_MEMORY = (
    "4,911,{},-;NVRM: nvCheckOkFailedNoLog: Check failed: Out of memory [NV_ERR_NO_MEMORY]"
    " (0x00000051) returned from _memdescAllocInternal(pMemDesc) @ mem_desc.c:1359 (imitated)\n"
)
AT = 90_000_000  # microseconds after boot


def _setting(target: Target, name: str, line: str) -> None:
    text, found = re.subn(rf"^{name}=.*", line, target.read(SMI), flags=re.MULTILINE)
    assert found == 1, f"the imitated nvidia-smi has one line {name}="
    target.cover(SMI, text, "0755")


def _driver(target: Target) -> None:
    _setting(target, "driver", f"driver={DRIVER}")


def _slow(target: Target) -> None:
    _setting(target, "clock", SLOW)


def _spins(target: Target) -> None:
    _setting(target, "clock", SPINNING)


def _hang(target: Target) -> None:
    target.cover(SMI, "#!/bin/sh\nexec sleep infinity\n", "0755")


def _mismatch(target: Target) -> None:
    target.cover(SMI, MISMATCH, "0755")


def _remove(target: Target) -> None:
    target.hide_file(SMI)


def _no_memory(target: Target) -> None:
    lines = "".join(NO_MEMORY.format(AT + n) for n in range(2))
    target.cover(KMSG, target.read(KMSG) + lines, "0644")


FAULTS = (
    Fault(
        "driver-590",
        f"the imitated nvidia-smi reports driver {DRIVER}",
        _driver,
        touches=("nvidia-smi",),
    ),
    Fault("gpu-hangs", "the imitated nvidia-smi never answers", _hang, touches=("nvidia-smi",)),
    Fault(
        "driver-mismatch",
        "nvidia-smi's libraries are newer than the driver (imitated)",
        _mismatch,
        touches=("nvidia-smi",),
    ),
    Fault("no-nvidia-smi", "nvidia-smi is missing", _remove, touches=("nvidia-smi",)),
    Fault(
        "low-clocks",
        "the GPU runs at 611 MHz under load (imitated)",
        _slow,
        touches=("nvidia-smi",),
    ),
    Fault(
        "gpu-spins",
        "the GPU is 96 % busy at 22 W, as in a dead collective (imitated)",
        _spins,
        touches=("nvidia-smi",),
    ),
    Fault(
        "nvrm-no-memory",
        "the kernel's log has NV_ERR_NO_MEMORY of the GPU's driver (imitated)",
        _no_memory,
        touches=("kmsg",),
    ),
)
