"""The checks that `up` runs before it starts anything, and `plan` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.collect import gather
from sparkctl.doctor.runner import choose_checks, evaluate, failed, sources
from sparkctl.doctor.table import CHECKS
from sparkctl.errors import PreflightError

if TYPE_CHECKING:
    from collections.abc import Collection

    from sparkctl.cluster.session import Session
    from sparkctl.doctor.finding import Finding


def preflight(
    session: Session, *, ignore: Collection[str] = (), passive: bool = False
) -> list[Finding]:
    """Every failure that would keep a start from succeeding, over all nodes.

    `session.facts` is filled on the way. Raises UsageError for an id that no check has.
    """
    chosen = {check.id for check in choose_checks(skip=ignore)}
    checks = [check for check in CHECKS if check.preflight and check.id in chosen]
    view = gather(session, session.inventory.nodes, sources(checks), passive=passive)
    return failed(evaluate(view, checks))


def refuse(failures: Collection[Finding]) -> None:
    """Raise PreflightError with all of them and what to do about each; none is fine."""
    if not failures:
        return
    lines = []
    for finding in failures:
        lines.append(f"  {finding}")
        if finding.fix:
            lines.append(f"    {finding.fix.text}")
    raise PreflightError(
        "nothing was started, because\n" + "\n".join(lines),
        hint="`sparkctl doctor` tells more; --ignore-check ID goes on in spite of a check",
    )
