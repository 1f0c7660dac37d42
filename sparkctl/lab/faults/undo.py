"""Undoing faults: what they started is killed, what they changed is restored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

from sparkctl.errors import SparkctlError
from sparkctl.lab.errors import rebuild_hint
from sparkctl.lab.faults import journal, undos
from sparkctl.lab.faults.target import MARK
from sparkctl.lab.processes import kill_all, processes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkctl.lab.existing import Lab
    from sparkctl.lab.faults.journal import Active
    from sparkctl.lab.running import RunningNode
    from sparkctl.node.entries import Entry


def undo(
    lab: Lab,
    nodes: Mapping[str, RunningNode],
    active: list[Active],
    chosen: Sequence[Active],
) -> None:
    """Undo the `chosen` of the `active` faults, the last change first, and update the journal.

    A change that is not done may not have been made, so its undo may fail. Raises SparkctlError
    with all that could not be undone, which stays in the journal.
    """
    failed: dict[str, SparkctlError] = {}
    for entry in chosen:
        try:
            kill_all(_started_by(lab, entry))
            while entry.undo:
                _undo(lab, nodes.get(entry.node), entry.undo[-1])
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


def _undo(lab: Lab, node: RunningNode | None, change: Entry) -> None:
    try:
        undos.run(lab, node, change.undo, change.data)
    except (ValueError, OSError) as error:
        raise SparkctlError(
            str(error), hint=rebuild_hint(lab.base), code="lab-undo-failed"
        ) from None
    except SparkctlError:
        if change.done:
            raise


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
