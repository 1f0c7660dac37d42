"""The GPU, as nvidia-smi tells of it; memory is [N/A] on GB10 (seen on DGX Sparks)."""

from __future__ import annotations

from typing import Any

from sparkctl.node.subprocesses import Started, start

TIMEOUT = 5.0  # seconds: a healthy one takes 0.1; a wedged driver never answers


def begin() -> tuple[Started, Started]:
    """Start both queries; `gpu` reads them."""
    gpus = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    apps = ["nvidia-smi", "--query-compute-apps=pid,process_name", "--format=csv,noheader"]
    return start(gpus), start(apps)


def gpu(started: tuple[Started, Started]) -> dict[str, Any]:
    """`gpus` (name, driver; null where nvidia-smi is missing, fails or hangs, with `gpu_error`)
    and `gpu_processes` (pid, name; null where that is not known).
    """
    listed, error = started[0].finish(TIMEOUT)
    apps, _ = started[1].finish(TIMEOUT if error is None else 0.1)
    return {
        "gpus": None
        if listed is None
        else [{"name": name, "driver": driver} for name, driver in _rows(listed)],
        "gpu_error": error,
        "gpu_processes": None
        if apps is None
        else [{"pid": int(pid), "name": name} for pid, name in _rows(apps) if pid.isdigit()],
    }


def _rows(printed: str) -> list[tuple[str, str]]:
    cut = (line.partition(",") for line in printed.splitlines() if "," in line)
    return [(first.strip(), rest.strip()) for first, _, rest in cut]
