"""What a runtime has installed: Python, Ray, the engines and NCCL, without importing any of it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from sparkctl.node import libnccl
from sparkctl.node.subprocesses import start

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sparkctl.node.wire import Answer

PYTHON_SECONDS = 3.0  # for `python -V`, which takes a millisecond
PROGRAMS = ("ray", "vllm", "sglang")
METADATA = re.compile(r"^(ray|vllm|sglang|torch|nvidia_nccl_cu\d+)-(.+)\.dist-info$")


def venv(path: Path) -> Answer:
    """The virtual environment at `path`; `nccl`: the libnccl files of its packages, by path."""
    sites = _sites(path)
    # Not from pyvenv.cfg: that has the version that made the environment.
    try:
        printed = start([str(path / "bin/python"), "-V"]).finish(PYTHON_SECONDS)
    except OSError:
        printed = ""
    python = re.match(r"Python ([\d.]+)", printed)
    return {
        "venv": str(path),
        "real": os.path.realpath(path),
        "exists": os.access(path / "bin/python", os.X_OK),
        "python": python[1] if python else None,
        "programs": {name: os.access(path / "bin" / name, os.X_OK) for name in PROGRAMS},
        "versions": versions(sites),
        "nccl": libraries(file for site in sites for file in site.glob(libnccl.IN_PACKAGES)),
    }


def _sites(venv: Path) -> list[Path]:
    """The directories with a virtual environment's packages, in Python's order: its own, and those
    that their .pth files name (site.py).
    """
    found = [*venv.glob("lib/python3*/site-packages")]
    for path in [p for own in found for p in sorted(own.glob("*.pth"))]:
        for line in path.read_text(errors="replace").splitlines():
            named = path.parent / line.strip()
            code = not line.strip() or line.startswith(("#", "import ", "import\t"))
            if not code and named.is_dir() and os.access(named, os.R_OK):
                found.append(named)
    return found


def versions(sites: Iterable[Path]) -> dict[str, str]:
    """Versions by distribution, from the metadata in these folders, the first of which counts:
    importing takes seconds.
    """
    found: dict[str, str] = {}
    for site in sites:
        for entry in os.listdir(site):
            if match := METADATA.match(entry):
                found.setdefault(match[1], match[2])
    return found


def libraries(paths: Iterable[Path]) -> dict[str, Answer]:
    """What these libnccl files are, by path."""
    found: dict[str, Answer] = {}
    for path in paths:
        version, build = libnccl.read(path)
        found[str(path)] = {"version": version, "build": build}
    return found
