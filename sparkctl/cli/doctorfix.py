"""sparkctl doctor --fix."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding


def offer(inventory: Path, findings: list[Finding], *, yes: bool) -> None:
    """Show what would be done, ask, do it, tell each result; all on stderr.

    Raises Interrupted where nobody can be asked.
    """
    from sparkctl.cli.context import open_session
    from sparkctl.doctor.fix import apply, plan
    from sparkctl.errors import Interrupted

    planned = plan(findings)
    if not planned:
        click.echo("nothing that --fix can do", err=True)
        return
    for change in planned:
        click.echo(f"would: {change}", err=True)
    if not yes:
        if not sys.stdin.isatty():
            raise Interrupted(
                "--fix asks on a terminal before it changes anything, and stdin is none",
                hint="--yes does what is listed above without asking",
            )
        click.confirm("do it?", abort=True, err=True)
    with open_session(inventory, partial=True) as session:
        for change, error in apply(session, planned):
            click.echo(f"{f'FAILED: {error}' if error else 'done'}: {change}", err=True)
