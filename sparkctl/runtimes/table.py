"""All runtimes, by the name that Runtime.name gives."""

from __future__ import annotations

from sparkctl.runtimes.runtime import Runtime

VENV = Runtime(path=lambda inventory, program: f"{inventory.runtime.venv}/bin/{program}")
RUNTIMES: dict[str, Runtime] = {"venv": VENV}
