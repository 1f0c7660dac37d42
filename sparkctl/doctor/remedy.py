"""What to do about a finding: words, commands to paste, and what `--fix` may do by itself."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparkctl.facts.answers import Removed, Stopped
    from sparkctl.facts.calls import Call

# sudo where a command begins: on the line, or behind | & ; and in no quotes.
SUDO = re.compile(r"""('[^']*'|"[^"]*"|\\.)|((?:^|[|&;])\s*)sudo\s+(?!-)""")


def command(*argv: str) -> str:
    """A command to paste: each word quoted for a shell where it has to be."""
    return shlex.join(argv)


@dataclass(frozen=True)
class Action:
    """A change on a node that is safe and reversible: `argv`, run by root (sudo where needed)."""

    title: str
    argv: tuple[str, ...]

    @property
    def command(self) -> str:
        """The same, to paste."""
        return command("sudo", *self.argv)


@dataclass(frozen=True)
class Removal:
    """Ending or removing what a run of ours left: a call to the node."""

    title: str
    call: Call[Stopped] | Call[Removed]
    request: dict[str, Any] = field(hash=False)

    @property
    def command(self) -> str:
        """What does it: `sparkctl down` would end the cluster that runs beside it as well."""
        return "sparkctl doctor --fix --check host.leftovers"


@dataclass(frozen=True)
class Remedy:
    """`text` in words; `commands` to paste; `actions`: what `doctor --fix` runs on the node.

    Who pastes is root where `root` is set; `inventory` is the cluster's, "" for the default.
    """

    text: str
    commands: tuple[str, ...] = ()
    actions: tuple[Action | Removal, ...] = ()
    root: bool = False
    inventory: str = ""

    @property
    def to_paste(self) -> tuple[str, ...]:
        """The commands, those that `--fix` would run first."""
        lines = tuple(a.command for a in self.actions) + self.commands
        return tuple(self._pasted(line) for line in lines)

    def at(self, *, root: bool, inventory: str) -> Remedy:
        """The same for who pastes: root needs no sudo, sparkctl this cluster's inventory."""
        return replace(self, root=root, inventory=inventory)

    def _pasted(self, line: str) -> str:
        if self.inventory and line.startswith("sparkctl "):
            return f"{line} {command('-i', self.inventory)}"
        return SUDO.sub(lambda m: m[1] or m[2], line) if self.root else line

    def document(self) -> dict[str, Any]:
        """The remedy as JSON."""
        return {"text": self.text, "commands": list(self.to_paste)}
