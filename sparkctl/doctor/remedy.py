"""What to do about a finding: in words, as commands to paste, and as changes of `--fix`."""

from __future__ import annotations

import re
import shlex
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sparkctl.node.undo import TABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.facts.answers import Removed, Stopped
    from sparkctl.facts.calls import Call

# sudo at the beginning of a command: of the line, or after | & ; outside quotes.
SUDO = re.compile(r"""('[^']*'|"[^"]*"|\\.)|((?:^|[|&;])\s*)sudo\s+(?!-)""")

SHOWN = 3  # findings that come first, named in words


def command(*argv: str) -> str:
    """A command to paste: each word is quoted for a shell if it has to be."""
    return shlex.join(argv)


@dataclass(frozen=True)
class Action:
    """A safe and reversible change on a node: a name of node/undo.py's table, and its data."""

    title: str = field(compare=False)
    change: str
    data: Mapping[str, str | int | bool] = field(hash=False, default_factory=dict)

    @property
    def command(self) -> str:
        """The change as a command to paste."""
        argv = TABLE[self.change].argv
        assert argv is not None, f"{self.change} is for people too"
        return command("sudo", *argv(self.data))


@dataclass(frozen=True)
class Removal:
    """A call to the node that ends or removes what a run left."""

    title: str = field(compare=False)
    call: Call[Stopped] | Call[Removed]
    request: dict[str, Any] = field(hash=False)

    @property
    def command(self) -> str:
        """A command that does it: `sparkctl down` would also end the running cluster."""
        return "sparkctl doctor --fix --check host.leftovers"


@dataclass(frozen=True)
class Prior:
    """A finding that has to be fixed first; about the cluster without a node."""

    check: str
    code: str
    node: str | None

    @property
    def place(self) -> str:
        """The check and the node, as messages name them."""
        return f"{self.check} on {self.node}" if self.node else self.check


LOG = "sparkctl logs vllm"  # becomes the log of the service or engine that a finding is about
LOG_SHOWS = "see its log for the cause"
RESTART = ("sparkctl down", "sparkctl up")


@dataclass(frozen=True)
class Remedy:
    """`text` in words; `commands` to paste; `actions` that `doctor --fix` applies to the node.

    With `root`, the user who pastes is root; `inventory` is the cluster's, "" for the default one.
    One that is withheld has neither commands nor actions, and `after`: what comes first.
    """

    text: str
    commands: tuple[str, ...] = ()
    actions: tuple[Action | Removal, ...] = ()
    root: bool = False
    inventory: str = ""
    after: tuple[Prior, ...] = ()

    @classmethod
    def withheld(cls, after: tuple[Prior, ...]) -> Remedy:
        """What is shown of a remedy that depends on other findings."""
        places = list(dict.fromkeys(prior.place for prior in after))
        more = [f"{len(places) - SHOWN} more"] if len(places) > SHOWN else []
        *others, last = places[:SHOWN] + more
        listed = f"{', '.join(others)} and {last}" if others else last
        return cls(f"fix {listed} first", after=after)

    @property
    def to_paste(self) -> tuple[str, ...]:
        """The commands; those of the actions come first."""
        lines = tuple(a.command for a in self.actions) + self.commands
        return tuple(self._pasted(line) for line in lines)

    def at(self, *, root: bool, inventory: str) -> Remedy:
        """The remedy without sudo for root, and with the inventory for sparkctl's commands."""
        return replace(self, root=root, inventory=inventory)

    def of_engine(self, kind: str) -> Remedy:
        """The remedy with the log of the units of this kind."""
        lines = [f"sparkctl logs {kind}" if line == LOG else line for line in self.commands]
        return replace(self, commands=tuple(lines))

    def of_service(self, service: str) -> Remedy:
        """The remedy for one of several services: its own log, and the others are not stopped."""
        lines: list[str] = []
        for line in self.commands:
            if (*lines[-1:], line) == RESTART:
                lines[-1] = f"sparkctl restart {service}"
            else:
                own = f"sparkctl logs {service}"
                lines.append(own + line.removeprefix(LOG) if line.startswith(LOG) else line)
        return replace(self, commands=tuple(lines))

    def _pasted(self, line: str) -> str:
        if self.inventory and line.startswith("sparkctl "):
            return f"{line} {command('-i', self.inventory)}"
        return SUDO.sub(lambda m: m[1] or m[2], line) if self.root else line

    def document(self) -> dict[str, Any]:
        """The remedy as JSON."""
        return {
            "text": self.text,
            "commands": list(self.to_paste),
            "after": [asdict(prior) for prior in self.after],
        }
