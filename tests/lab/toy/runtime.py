"""The toy runtime's row: programs run as another user of the node."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.runtimes.runtime import Runtime

if TYPE_CHECKING:
    from sparkctl.node.units import Unit
    from sparkctl.runtimes.runtime import Place

UID = "4242"
AS_OTHER = ("setpriv", "--reuid", UID, "--regid", UID, "--clear-groups")


def within(_place: Place, unit: Unit) -> Unit:
    """The unit's program as user UID, in the same process."""
    program = replace(unit.program, argv=(*AS_OTHER, *unit.program.argv))
    return replace(unit, program=program)


def row() -> Runtime:
    """The runtime as a row of the table."""
    return Runtime(path=lambda _inventory, program: program, within=within)
