"""sparkctl down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import inventory_option, json_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@inventory_option
@json_option
@click.option("--break-lock", is_flag=True, help="Go on although another command holds the lease.")
def down(inventory: Path, as_json: bool, break_lock: bool) -> None:
    """Stop what is ours, remove what we wrote; nothing else is touched."""
    from dataclasses import asdict

    from sparkctl.cli.context import emit_json, open_session
    from sparkctl.cluster.down import down as take_down
    from sparkctl.output.reporter import reporting

    with reporting() as progress:
        progress.step("connect to the nodes")
        with open_session(inventory, partial=True, facts=False, waits="hidden") as session:
            if session.pool.errors:
                progress.end("failed")
            report = take_down(session, progress, break_lock=break_lock)
    if as_json:
        emit_json({"changed": bool(report.stopped or report.removed), **asdict(report)})
    else:
        for name, ended in report.stopped.items():
            click.echo(f"{name}: {len(ended)} processes ended")
        for name, paths in report.removed.items():
            click.echo(f"{name}: removed {', '.join(paths)}")
        if report.nothing:
            click.echo("nothing to do")
    for name, error in report.failed.items():
        click.echo(f"error: {name}: cleanup failed: {error.removeprefix(name + ': ')}", err=True)
    if report.failed:
        click.echo("hint: correct what is named above and run `sparkctl down` again", err=True)
        raise click.exceptions.Exit(1)
