"""Undoing faults: what they started is killed, what they changed is changed back."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from sparkctl.errors import SparkctlError
from sparkctl.lab.faults import journal
from sparkctl.lab.faults.journal import LAB, Active, Undo
from sparkctl.lab.faults.target import MARK
from sparkctl.lab.inside import Inside, run
from sparkctl.lab.processes import end, processes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkctl.lab.lab import Lab


def take_back(
    lab: Lab,
    nodes: Mapping[str, Inside],
    active: list[Active],
    wanted: Sequence[Active],
    *,
    cut_short: bool = False,
) -> None:
    """Undo `wanted` of the `active` faults, the last change first, and strike it off the journal.

    `cut_short` is for a fault that failed half-way: its last change may never have been made.
    Raises SparkctlError with all that could not be undone, which stays in the journal.
    """
    failed: list[SparkctlError] = []
    tolerated: tuple[type[Exception], ...] = (SparkctlError,) if cut_short else ()
    for entry in wanted:
        try:
            end(_started_by(lab, entry))
            while entry.undo:
                with suppress(*tolerated):
                    _perform(nodes, entry.undo[-1])
                tolerated = ()
                entry.undo.pop()
                journal.write(lab.base, active)
        except SparkctlError as error:
            failed.append(error)
            continue
        active.remove(entry)
        journal.write(lab.base, active)
    if failed:
        raise SparkctlError(
            "not all is healed: " + "; ".join(str(e) for e in failed),
            hint=f"`sparkctl lab down --dir {lab.base}`, then up again",
        )


def _perform(nodes: Mapping[str, Inside], undo: Undo) -> None:
    if undo.on == LAB:
        run(undo.argv, text=undo.text)
    elif undo.on in nodes:  # else the node is lost, and its changes with it
        nodes[undo.on].run(*undo.argv, text=undo.text)


def _started_by(lab: Lab, entry: Active) -> Callable[[], list[psutil.Process]]:
    """What finds the processes that the fault started."""
    mark = f"{entry.node}/{entry.fault}"

    def find() -> list[psutil.Process]:
        return [p for p in processes(lab.base) if _marked(p, mark)]

    return find


def _marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark
    except psutil.Error:
        return False
