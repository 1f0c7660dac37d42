"""sparkctl doctor --report."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.snapshot import View


def report(path: Path, view: View, findings: list[Finding]) -> None:
    """Write the page to `path`, and say so on stderr.

    Raises UsageError where something else is there, SparkctlError where it cannot be written.
    """
    from sparkctl.doctor.masking import masking
    from sparkctl.errors import SparkctlError
    from sparkctl.output.html import hosts, page, people
    from sparkctl.output.pagefile import write_page
    from sparkctl.output.withheld import note, unmaskable, withhold

    left_out = unmaskable(view)
    hidden = masking({*people(view), getpass.getuser()}, hosts(view))
    notes = [note(name) for name in left_out]
    try:
        write_page(path, page(view.inventory, withhold(findings, left_out), hidden, notes))
    except OSError as error:
        raise SparkctlError(
            f"the report could not be written to {path}: {error.strerror}",
            hint="name a file in a folder that you may write to",
        ) from error
    for line in notes:
        click.echo(line, err=True)
    click.echo(f"written to {path}", err=True)
