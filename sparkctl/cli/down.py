"""sparkctl down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import break_lock_option, inventory_option, json_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@inventory_option
@json_option
@break_lock_option
def down(inventory: Path, as_json: bool, break_lock: bool) -> None:
    """Stop the cluster and remove its files; touch nothing else.

    Exits 1 when a node could not be cleaned up.
    """
    from sparkctl.cli.context import open_session
    from sparkctl.operations.down import down as take_down
    from sparkctl.output.down import print_report
    from sparkctl.output.reporter import reporting

    with reporting() as progress:
        progress.step("connect to the nodes")
        with open_session(inventory, partial=True, facts=False, waits="hidden") as session:
            if session.pool.errors:
                progress.end("failed")
            report = take_down(session, progress, break_lock=break_lock)
    print_report(report, as_json=as_json)
    if report.failed:
        raise click.exceptions.Exit(1)
