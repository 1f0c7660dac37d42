"""What a runtime is: how its programs are named, started and stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.inventory.models import Inventory
    from sparkctl.node.units import Program, Unit


@dataclass(frozen=True)
class Runtime:
    """`path` gives where a program is, on a node of this inventory; `start` what starts a unit's
    program in the runtime; `ending` the unit with how it is stopped there.
    """

    path: Callable[[Inventory, str], str]
    start: Callable[[Program], Program] = lambda program: program
    ending: Callable[[Unit], Unit] = lambda unit: unit
