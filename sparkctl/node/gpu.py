"""The GPU, as nvidia-smi prints it; memory is [N/A] on GB10 (seen on DGX Sparks)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.node.subprocesses import Started, start

if TYPE_CHECKING:
    from sparkctl.node.wire import Answer

TIMEOUT = 5.0  # seconds: a healthy one takes 0.1; a wedged driver never answers


def begin() -> tuple[Started, Started]:
    """Start both queries; `gpu` reads them."""
    gpus = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    apps = ["nvidia-smi", "--query-compute-apps=pid,process_name", "--format=csv,noheader"]
    return start(gpus), start(apps)


def gpu(started: tuple[Started, Started]) -> Answer:
    """`gpus` (name, driver; null where nvidia-smi is missing, fails or hangs, with `gpu_error`)
    and `gpu_processes` (pid, name; null if unknown).
    """
    listed, error = _rows(started[0], TIMEOUT)
    apps, _ = _rows(started[1], 0.1 if error else TIMEOUT)
    gpus = None if listed is None else [{"name": n, "driver": d} for n, d in listed]
    return {
        "gpus": gpus,
        "gpu_error": error,
        "gpu_processes": None
        if apps is None
        else [{"pid": int(pid), "name": name} for pid, name in apps if pid.isdigit()],
    }


def _rows(program: Started, timeout: float) -> tuple[list[tuple[str, str]] | None, str | None]:
    """The first field and the rest of each line, or None with the reason."""
    try:
        printed = program.finish(timeout)
    except OSError as error:
        return None, str(error)
    cut = (line.partition(",") for line in printed.splitlines() if "," in line)
    return [(first.strip(), rest.strip()) for first, _, rest in cut], None
