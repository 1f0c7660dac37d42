"""sparkctl doctor --fix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.cli.terminal import confirm, interactive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.examination import Examination
    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.fix import Outcome, Planned
    from sparkctl.errors import SparkctlError


def offer(
    examination: Examination, findings: list[Finding], *, yes: bool
) -> tuple[bool, SparkctlError | None]:
    """Show the changes, ask, apply them, and print each result; all on stderr.

    Gives whether the nodes may have changed, so that the findings are outdated, and what failed:
    UsageError where nobody can be asked. Raises click.Abort on Ctrl-C at the prompt.
    """
    from sparkctl.doctor.fix import plan
    from sparkctl.errors import SparkctlError, UsageError
    from sparkctl.output.fix import print_outcomes, print_planned

    planned = plan(findings)
    print_planned(planned)
    if not planned:
        return False, None
    if not yes:
        if not interactive():
            return False, UsageError(
                "--fix asks before it changes anything, and stdin is not a terminal",
                hint="--yes applies the changes listed above without asking",
                code="consent-required",
            )
        if not confirm("Apply?"):
            return False, None
    outcomes = _apply(examination, planned)
    print_outcomes(outcomes)
    if not (failed := [outcome for outcome in outcomes if outcome.error]):
        return True, None
    return True, SparkctlError(
        f"--fix failed at {len(failed)} of {len(outcomes)} changes",
        hint="the failed changes are listed above with their reasons",
        code="fix-failed",
        data={"failed": len(failed), "changes": len(outcomes)},
    )


def _apply(examination: Examination, planned: Sequence[Planned]) -> list[Outcome]:
    """Apply the changes that are still planned, in a session of their own under the lease."""
    from sparkctl.cli.context import chosen, open_session
    from sparkctl.doctor.fix import carry_out
    from sparkctl.operations.lease import hold
    from sparkctl.output.stdio import print_err

    with open_session(examination.inventory, partial=True, facts=False) as session:
        nodes = chosen(session.inventory, examination.names)
        reached = [n for n in session.inventory.nodes if n.name in session.pool.connections]
        with hold(session, print_err, "doctor --fix", reached, partial=True) as barred:
            return carry_out(
                session,
                nodes,
                planned,
                passive=examination.passive,
                barred=barred,
                skip=examination.skipped(),
            )
