"""All runtimes, by the name that Runtime.name of an inventory gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.runtimes import contained
from sparkctl.runtimes.runtime import Runtime

if TYPE_CHECKING:
    from sparkctl.inventory.models import Inventory

VENV = Runtime(path=lambda inventory, program: f"{inventory.runtime.venv}/bin/{program}")
CONTAINER = Runtime(
    path=contained.path,
    base=contained.base,
    within=contained.within,
    inside=contained.inside,
    once=contained.once,
    folders=contained.folders,
)
RUNTIMES: dict[str, Runtime] = {"venv": VENV, "container": CONTAINER}


def path(inventory: Inventory, program: str) -> str:
    """Where a program of the inventory's runtime is."""
    return RUNTIMES[inventory.runtime.name].path(inventory, program)
