#!/usr/bin/python3 -IS
"""Imitated by `sparkctl lab`: answers as nvidia-smi does on a GB10; there is no GPU.

Copied to a node as it is, so the standard library alone. Memory is [N/A] as on GB10, where the GPU
shares the CPU's (seen on DGX Sparks).
"""

from __future__ import annotations

import sys

DRIVER = "580.95.05"
UUID = "GPU-00000000-0000-0000-0000-0000000000b1"
KNOWN = {
    "name": "NVIDIA GB10",
    "gpu_name": "NVIDIA GB10",
    "driver_version": DRIVER,
    "index": "0",
    "count": "1",
    "uuid": UUID,
    "gpu_uuid": UUID,
    "compute_cap": "12.1",
    "pci.bus_id": "0000000F:01:00.0",
    "persistence_mode": "Enabled",
    "temperature.gpu": "40",
    "utilization.gpu": "0",
}
# Fields with a unit, which a header names and `nounits` drops from the values.
UNITS = {"memory.total": "MiB", "memory.used": "MiB", "memory.free": "MiB", "utilization.gpu": "%"}
PLAIN = f"""\
(imitated by sparkctl lab: there is no GPU here)
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI {DRIVER}              Driver Version: {DRIVER}      CUDA Version: 13.0     |
|   0  NVIDIA GB10                    On  |   0000000F:01:00.0 Off |                  N/A |
|                                         |     Memory-Usage: Not Supported               |
|  No running processes found                                                             |
+-----------------------------------------------------------------------------------------+"""


def answer(arguments: list[str]) -> tuple[int, str]:
    """The exit status and the lines for some arguments."""
    options = {name: value for name, _, value in (a.partition("=") for a in arguments)}
    words = [w.strip() for w in options.get("--format", "").split(",")]
    if not arguments:
        return 0, PLAIN
    if "-L" in options or "--list-gpus" in options:
        return 0, f"GPU 0: NVIDIA GB10 (UUID: {UUID})"
    for name in ("--query-gpu", "--query-compute-apps"):
        if name in options:
            if "csv" not in words:
                return 6, '"--format=" switch is missing. Please use either "csv" or "csv,...".'
            return 0, _table(name, [f.strip() for f in options[name].split(",")], words)
    return 6, f"Invalid combination of input arguments (imitated): {' '.join(arguments)}"


def _table(query: str, fields: list[str], words: list[str]) -> str:
    header = ", ".join(f"{f} [{UNITS[f]}]" if f in UNITS else f for f in fields)
    lines = [] if "noheader" in words else [header]
    if query == "--query-gpu":
        lines.append(", ".join(_value(f, units="nounits" not in words) for f in fields))
    return "\n".join(lines)  # no process computes on a GPU that is not there


def _value(field: str, *, units: bool) -> str:
    value = KNOWN.get(field, "[N/A]")
    return f"{value} {UNITS[field]}" if units and field in UNITS and value != "[N/A]" else value


if __name__ == "__main__":
    status, text = answer(sys.argv[1:])
    if text:
        print(text)
    sys.exit(status)
