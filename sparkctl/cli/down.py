"""sparkctl down."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import break_lock_option, inventory_option, json_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@inventory_option
@json_option
@break_lock_option
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
def down(inventory: Path, as_json: bool, break_lock: bool, services: tuple[str, ...]) -> None:
    """Stop the cluster, or each SERVICE of it, and remove its files; touch nothing else.

    It also stops what runs on nodes that are no longer in the inventory, with a SERVICE only where
    it runs. Exits 1 when a node could not be cleaned up.

    \b
    Examples:
      # Stop all services
      sparkctl down
      # Stop one of them
      sparkctl down chat
      # The command that holds the lease hangs
      sparkctl down --break-lock
    """
    from sparkctl.cli.context import check_services, open_session
    from sparkctl.engines.inventory import load
    from sparkctl.operations.down import down as take_down
    from sparkctl.output.down import print_report
    from sparkctl.output.progress.reporter import reporting

    if services:
        check_services(load(inventory), services)
    begin = time.monotonic()
    with (
        reporting() as progress,
        open_session(inventory, partial=True, facts=False, reporter=progress) as session,
    ):
        if session.pool.errors:
            progress.end("failed")
        report = take_down(session, progress, services=services, break_lock=break_lock)
    report.total = time.monotonic() - begin
    print_report(report, as_json=as_json)
    if report.failed:
        raise click.exceptions.Exit(1)
