"""Undoing faults: what they started is killed, what they changed is restored."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from sparkctl.errors import SparkctlError
from sparkctl.lab.errors import rebuild_hint
from sparkctl.lab.faults import journal
from sparkctl.lab.faults.journal import LAB, Active, Undo
from sparkctl.lab.faults.target import MARK
from sparkctl.lab.processes import kill_all, processes
from sparkctl.lab.running import RunningNode, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkctl.lab.existing import Lab


def undo(
    lab: Lab,
    nodes: Mapping[str, RunningNode],
    active: list[Active],
    chosen: Sequence[Active],
    *,
    incomplete: bool = False,
) -> None:
    """Undo the `chosen` of the `active` faults, the last change first, and update the journal.

    `incomplete` is for a fault that failed: its last change may not have been made. Raises
    SparkctlError with all that could not be undone, which stays in the journal.
    """
    failed: dict[str, SparkctlError] = {}
    tolerated: tuple[type[Exception], ...] = (SparkctlError,) if incomplete else ()
    for entry in chosen:
        try:
            kill_all(_started_by(lab, entry))
            while entry.undo:
                with suppress(*tolerated):
                    _run(nodes, entry.undo[-1])
                tolerated = ()
                entry.undo.pop()
                journal.write(lab.base, active)
        except SparkctlError as error:
            failed[f"{entry.fault} on {entry.node}"] = error
            continue
        active.remove(entry)
        journal.write(lab.base, active)
    if failed:
        raise SparkctlError(
            f"cannot undo {'; '.join(f'{name}: {e}' for name, e in failed.items())}",
            hint=rebuild_hint(lab.base),
            code="fault-not-healed",
            data={"faults": list(failed)},
        )


def _run(nodes: Mapping[str, RunningNode], change: Undo) -> None:
    if change.on == LAB:
        run(change.argv, text=change.text)
    elif change.on in nodes:  # else the node has ended, and its changes with it
        nodes[change.on].run(*change.argv, text=change.text)


def _started_by(lab: Lab, entry: Active) -> Callable[[], list[psutil.Process]]:
    """A function that finds the processes that the fault started."""
    mark = f"{entry.node}/{entry.fault}"

    def find() -> list[psutil.Process]:
        return [p for p in processes(lab.base) if _is_marked(p, mark)]

    return find


def _is_marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark
    except psutil.Error:
        return False
