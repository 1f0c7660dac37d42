"""sparkctl doctor --fix."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from sparkctl.cli.terminal import interactive

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.fix import Outcome, Planned
    from sparkctl.errors import SparkctlError


def offer(
    inventory: Path, names: Sequence[str], findings: list[Finding], *, passive: bool, yes: bool
) -> tuple[bool, SparkctlError | None]:
    """Show what would be done, ask, do it, and print each result; all on stderr.

    Gives whether the nodes may have changed, so that the findings are of the past, and what went
    wrong: UsageError where nobody can be asked. Raises click.Abort on Ctrl-C at the prompt.
    """
    from sparkctl.doctor.fix import plan
    from sparkctl.errors import SparkctlError, UsageError

    planned = plan(findings)
    if not planned:
        click.echo("nothing that --fix can do", err=True)
        return False, None
    for change in planned:
        click.echo(f"would: {change}", err=True)
    if not yes:
        if not interactive():
            return False, UsageError(
                "--fix asks on a terminal before it changes anything, and stdin is not a terminal",
                hint="--yes does what is listed above without asking",
            )
        if not click.confirm("do it?", err=True):
            return False, None
    outcomes = _carried_out(inventory, names, planned, passive=passive)
    for outcome in outcomes:
        click.echo(str(outcome), err=True)
    if not (failed := [outcome for outcome in outcomes if outcome.error]):
        return True, None
    return True, SparkctlError(
        f"--fix failed at {len(failed)} of {len(outcomes)} changes",
        hint="each one that failed is listed above with its reason",
    )


def _carried_out(
    inventory: Path, names: Sequence[str], planned: Sequence[Planned], *, passive: bool
) -> list[Outcome]:
    """The changes, as far as they are still planned in a session of their own, under the lease."""
    from sparkctl.cli.context import chosen, open_session
    from sparkctl.cluster.lease import hold
    from sparkctl.doctor.fix import carry_out

    with open_session(inventory, partial=True, facts=False) as session:
        nodes = chosen(session.inventory, names)
        reached = [n for n in session.inventory.nodes if n.name in session.pool.connections]
        note = partial(click.echo, err=True)
        with hold(session, note, "doctor --fix", reached, partial=True) as barred:
            return carry_out(session, nodes, planned, passive=passive, barred=barred)
