"""Which faults are active in a lab and how each is undone: faults.json in the lab's folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, TypedDict

from sparkctl.lab import statefile

if TYPE_CHECKING:
    from pathlib import Path

FILE = "faults.json"
LAB = ""  # where an Undo runs that concerns the lab's own files


@dataclass(frozen=True)
class Undo:
    """A command that undoes one change, on a node or (LAB) on this machine."""

    on: str
    argv: tuple[str, ...]
    text: str = ""  # its stdin


@dataclass
class Active:
    """An active fault; `undo` is in the order of the changes, and runs from its end."""

    fault: str
    node: str
    undo: list[Undo] = field(default_factory=list)


class _Undo(TypedDict):
    on: str
    argv: list[str]
    text: str


class _Active(TypedDict):
    fault: str
    node: str
    undo: list[_Undo]


class _Journal(TypedDict):
    active: list[_Active]


def read(base: Path) -> list[Active]:
    """The active faults of the lab in `base`, the oldest first.

    Raises SparkctlError when the journal is damaged or of an unknown schema.
    """
    return statefile.read(base / FILE, _build) or []


def _build(journal: _Journal | list[_Active]) -> list[Active]:
    # Before the journal had a schema number, it was the list alone.
    entries = journal if isinstance(journal, list) else journal["active"]
    return [Active(e["fault"], e["node"], [_undo(u) for u in e["undo"]]) for e in entries]


def _undo(value: _Undo) -> Undo:
    return Undo(value["on"], tuple(value["argv"]), value["text"])


def write(base: Path, active: list[Active]) -> None:
    """Replace the journal; without an active fault there is no file."""
    if active:
        statefile.write(base / FILE, {"active": [asdict(a) for a in active]})
    else:
        (base / FILE).unlink(missing_ok=True)
