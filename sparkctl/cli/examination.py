"""What `doctor` is to look at, and the look."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sparkctl.doctor.check import Check
    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.inventory.models import Node
    from sparkctl.operations.session import Session


@dataclass(frozen=True)
class Examination:
    """Checks (`only` and `skip` by id or family) on the nodes `names`, () for all.

    `default`: the inventory is the default one, so commands to paste need no -i. `passive` sends no
    ping and loads nothing.
    """

    inventory: Path
    default: bool
    names: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    passive: bool = False

    def checks(self) -> list[Check]:
        """The checks in their order. Raises UsageError for an unknown id, or where none is left."""
        from sparkctl.doctor.runner import choose_checks
        from sparkctl.errors import UsageError

        if not (checks := choose_checks(self.only, self.skip)):
            hint = "`sparkctl doctor --list-checks` lists them by family"
            raise UsageError("--skip leaves no check", hint=hint, code="no-check-left")
        return checks

    def skipped(self) -> set[str]:
        """The ids of the checks that the user skips."""
        from sparkctl.doctor.runner import choose_checks

        return {check.id for check in choose_checks(self.skip)} if self.skip else set()

    def run(
        self, also: Callable[[Session, Sequence[Node]], None] | None = None
    ) -> tuple[Snapshot, list[Finding]]:
        """Connect to the nodes: what was collected, and what the checks found. `also` reads
        more.
        """
        from sparkctl.cli.context import chosen, open_session

        if self.only or self.skip:  # a typo fails before any node is reached
            self.checks()
        with open_session(self.inventory, read_only=True, partial=True, meanwhile=_load) as session:
            from sparkctl.doctor.collect import collect
            from sparkctl.doctor.dependencies import prerequisites
            from sparkctl.doctor.runner import evaluate, pasteable, sources

            checks = self.checks()
            before = prerequisites(checks, self.skipped())
            nodes = chosen(session.inventory, self.names)
            snapshot = collect(session, nodes, sources(checks), passive=self.passive)
            if also:
                also(session, nodes)
            option = "" if self.default else str(self.inventory)
            return snapshot, pasteable(snapshot, evaluate(snapshot, checks, before), option)


def _load() -> None:
    """Import the checks, which takes as long as a login."""
    import_module("sparkctl.doctor.collect")
    import_module("sparkctl.doctor.runner")
