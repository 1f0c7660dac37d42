"""The toy runtime's row: programs run as another user of the node."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.runtimes.runtime import Runtime

if TYPE_CHECKING:
    from sparkctl.node.units import Program

UID = "4242"
AS_OTHER = ("setpriv", "--reuid", UID, "--regid", UID, "--clear-groups")


def start(program: Program) -> Program:
    """The program as user UID, in the same process."""
    return replace(program, argv=(*AS_OTHER, *program.argv))


def row() -> Runtime:
    """The runtime as a row of the table."""
    return Runtime(path=lambda _inventory, program: program, start=start)
