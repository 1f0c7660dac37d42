"""sparkctl doctor --fix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.cli.terminal import confirm, interactive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.examination import Examination
    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.fix import Outcome, Planned
    from sparkctl.doctor.unfinished import Reverted, Unfinished
    from sparkctl.errors import SparkctlError


def offer(
    examination: Examination, findings: list[Finding], unfinished: Unfinished, *, yes: bool
) -> tuple[bool, SparkctlError | None]:
    """Show the changes, ask, apply them, and print each result; all on stderr.

    What an earlier --fix left `unfinished` is taken back first. Gives whether the nodes may have
    changed, so that the findings are outdated, and what failed: UsageError where nobody can be
    asked. Raises click.Abort on Ctrl-C at the prompt.
    """
    from sparkctl.doctor.fix import plan
    from sparkctl.errors import UsageError
    from sparkctl.output.fix import print_outcomes, print_planned, print_reverted, print_unread

    planned, unread = plan(findings), [*unfinished.errors.values()]
    print_unread(unread)
    print_planned([*unfinished.changes, *planned])
    if not planned and not unfinished.changes:
        return False, _failure(len(unread), len(unread))
    if not yes:
        if not interactive():
            return False, UsageError(
                "--fix asks before it changes anything, and stdin is not a terminal",
                hint="--yes applies the changes listed above without asking",
                code="consent-required",
            )
        if not confirm("Apply?"):
            return False, None
    reverted, outcomes = _apply(examination, planned, unfinished)
    print_reverted(reverted)
    print_outcomes(outcomes)
    failed = [*(r for r in reverted if r.error), *(o for o in outcomes if o.error)]
    return True, _failure(len(failed) + len(unread), len(reverted) + len(outcomes) + len(unread))


def _failure(failed: int, changes: int) -> SparkctlError | None:
    from sparkctl.errors import SparkctlError

    if not failed:
        return None
    return SparkctlError(
        f"--fix failed at {failed} of {changes} changes",
        hint="the failed changes are listed above with their reasons",
        code="fix-failed",
        data={"failed": failed, "changes": changes},
    )


def _apply(
    examination: Examination, planned: Sequence[Planned], unfinished: Unfinished
) -> tuple[list[Reverted], list[Outcome]]:
    """Take back what is unfinished, and apply the changes that are still planned then, in a session
    of their own under the lease.
    """
    from sparkctl.cli.context import chosen, open_session
    from sparkctl.doctor.fix import carry_out
    from sparkctl.operations.lease import hold
    from sparkctl.output.stdio import print_err

    with open_session(examination.inventory, partial=True, facts=False) as session:
        nodes = chosen(session.inventory, examination.names)
        reached = [n for n in session.inventory.nodes if n.name in session.pool.connections]
        with hold(session, print_err, "doctor --fix", reached, partial=True) as barred:
            reverted = unfinished.take_back(session, barred)
            if not planned:
                return reverted, []
            return reverted, carry_out(
                session,
                nodes,
                planned,
                passive=examination.passive,
                barred=barred,
                skip=examination.skipped(),
            )
