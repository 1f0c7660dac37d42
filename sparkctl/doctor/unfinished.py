"""Changes that an earlier `doctor --fix` did not complete: the next one takes them back first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.doctor.fix import OWNER
from sparkctl.errors import SparkctlError
from sparkctl.facts.calls import READ_JOURNAL, TAKE_BACK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.facts.answers import JournalEntry
    from sparkctl.inventory.models import Node
    from sparkctl.operations.session import Session


@dataclass(frozen=True)
class Reverted:
    """A change that is to be taken back, or was; `error` is why that failed."""

    node: str
    title: str
    when: str
    error: str = ""

    def __str__(self) -> str:
        change = f"{self.node}: {self.title} (begun {self.when}, not completed)"
        return f"FAILED: {self.error}: take back {change}" if self.error else f"take back {change}"


@dataclass
class Unfinished:
    """What an earlier run left on the nodes; `errors` of nodes whose journal cannot be read."""

    found: dict[str, list[tuple[JournalEntry, bool]]] = field(default_factory=dict)
    errors: dict[str, SparkctlError] = field(default_factory=dict)

    @property
    def changes(self) -> list[Reverted]:
        """What is to be taken back."""
        return [
            Reverted(name, entry.title, entry.when)
            for name, rows in self.found.items()
            for entry, _ in rows
        ]

    def read(self, session: Session, nodes: Sequence[Node]) -> None:
        """Read the journals of these nodes, those without a connection excepted."""
        reached = [node for node in nodes if node.name in session.pool.connections]
        own = session.ask_all(reached, READ_JOURNAL, lambda _: {}, title="read the journal")
        self.errors.update(own.failed)
        for node in reached:
            if (answer := own.ok.get(node.name)) is None:
                continue
            rows = [(entry, False) for entry in answer.entries]
            if answer.root:
                try:
                    ours = session.ask(
                        node, READ_JOURNAL, {"root": True}, title="read root's journal", root=True
                    )
                except SparkctlError as error:
                    self.errors[node.name] = error
                    continue
                rows += [(entry, True) for entry in ours.entries]
            if left := [(e, root) for e, root in rows if e.owner == OWNER and not e.done]:
                self.found[node.name] = left

    def take_back(self, session: Session, barred: Mapping[str, SparkctlError]) -> list[Reverted]:
        """Take it back, each node's last change first; `barred` nodes fail for that reason."""
        done: list[Reverted] = []
        for name, rows in self.found.items():
            for root in sorted({root for _, root in rows}):
                try:
                    if name in barred:
                        raise barred[name]
                    done += _take_back(session, session.node(name), root=root)
                except SparkctlError as error:
                    left = [entry for entry, of_root in rows if of_root == root]
                    done += [Reverted(name, e.title, e.when, str(error)) for e in left]
        return done


def _take_back(session: Session, node: Node, *, root: bool) -> list[Reverted]:
    request = {"owner": OWNER, "unfinished": True, "root": root}
    answer = session.ask(node, TAKE_BACK, request, title="take back unfinished changes", root=root)
    return [
        *(Reverted(node.name, e.title, e.when) for e in answer.taken),
        *(Reverted(node.name, e.title, e.when, e.error) for e in answer.failed),
    ]
