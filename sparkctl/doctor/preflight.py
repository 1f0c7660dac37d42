"""The checks that `up` runs before it starts anything, and that `plan` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.collect import collect
from sparkctl.doctor.runner import choose_checks, evaluate, failed, sources
from sparkctl.doctor.table import CHECKS
from sparkctl.errors import PreflightError

if TYPE_CHECKING:
    from collections.abc import Collection

    from sparkctl.doctor.finding import Finding
    from sparkctl.operations.session import Session


def preflight(
    session: Session, *, ignore: Collection[str] = (), passive: bool = False
) -> list[Finding]:
    """All failures on nodes with a service that would make a start fail; fills `session.facts`.

    Raises UsageError for an unknown id.
    """
    chosen = {check.id for check in choose_checks(skip=ignore)}
    checks = [check for check in CHECKS if check.preflight and check.id in chosen]
    nodes = [n for n in session.inventory.nodes if session.inventory.view_of(n)]
    snapshot = collect(session, nodes, sources(checks), passive=passive)
    return failed(evaluate(snapshot, checks))


def refuse(failures: Collection[Finding]) -> None:
    """Raise PreflightError with all failures and their remedies, if there are any."""
    if not failures:
        return
    lines = []
    for finding in failures:
        lines.append(f"  {finding}")
        if finding.fix:
            lines.append(f"    {finding.fix.text}")
    raise PreflightError(
        "checks failed, nothing was started:\n" + "\n".join(lines),
        hint="run `sparkctl doctor` for details, or skip a check with --ignore-check ID",
        data={"checks": list(dict.fromkeys(f.check for f in failures))},
    )
