"""The toy runtime's row: programs run as another user of the node."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparkctl.node.units import Program

UID = "4242"
AS_OTHER = ("setpriv", "--reuid", UID, "--regid", UID, "--clear-groups")


def wrap(program: Program, _node: Any = None) -> Program:
    """The program as user UID, in the same process."""
    shown = (*AS_OTHER, *program.shown) if program.shown else ()
    return replace(program, argv=(*AS_OTHER, *program.argv), shown=shown)


def row() -> Any:
    """The runtime as a row of the table."""
    return import_module("sparkctl.runtimes.runtime").Runtime(wrap=wrap)
