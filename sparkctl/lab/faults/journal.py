"""Which faults are active in a lab and how each is undone: faults.json in the lab's folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

FILE = "faults.json"
LAB = ""  # where an Undo runs that concerns the lab's own files


@dataclass(frozen=True)
class Undo:
    """A command that takes one change back, on a node or (LAB) on this machine."""

    on: str
    argv: tuple[str, ...]
    text: str = ""  # its stdin


@dataclass
class Active:
    """An active fault; `undo` is in the order of the changes, so it is performed backwards."""

    fault: str
    node: str
    undo: list[Undo] = field(default_factory=list)


def read(base: Path) -> list[Active]:
    """The active faults of the lab in `base`, the oldest first."""
    try:
        entries = json.loads((base / FILE).read_text())
    except FileNotFoundError:
        return []
    return [Active(e["fault"], e["node"], [_undo(u) for u in e["undo"]]) for e in entries]


def _undo(value: dict[str, Any]) -> Undo:
    return Undo(value["on"], tuple(value["argv"]), value["text"])


def write(base: Path, active: list[Active]) -> None:
    """Replace the journal; without an active fault there is no file."""
    path = base / FILE
    if not active:
        path.unlink(missing_ok=True)
        return
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps([asdict(a) for a in active], indent=1))
    fresh.replace(path)
