"""What to do about a finding: words, commands to paste, and what `--fix` may do by itself."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Action:
    """A change on a node that is safe and reversible: `argv`, run by root (sudo where needed)."""

    title: str
    argv: tuple[str, ...]

    @property
    def command(self) -> str:
        """The same, to paste."""
        return f"sudo {shlex.join(self.argv)}"


@dataclass(frozen=True)
class Removal:
    """Ending or removing what a run of ours left: a call of `target` in sparkctl/node."""

    title: str
    target: str
    request: dict[str, Any] = field(hash=False)

    @property
    def command(self) -> str:
        """The nearest by hand."""
        return "sparkctl down"


@dataclass(frozen=True)
class Remedy:
    """`text` in words; `commands` to paste; `actions`: what `doctor --fix` runs on the node."""

    text: str
    commands: tuple[str, ...] = ()
    actions: tuple[Action | Removal, ...] = ()

    @property
    def to_paste(self) -> tuple[str, ...]:
        """The commands, those that `--fix` would run first."""
        return tuple(a.command for a in self.actions) + self.commands

    def document(self) -> dict[str, Any]:
        """The remedy as JSON."""
        return {"text": self.text, "commands": list(self.to_paste)}
