"""sparkctl up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from sparkctl.cli.bringup import SECTIONS, start_options
from sparkctl.cli.groups import Command
from sparkctl.cli.options import inventory_option, json_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command(cls=Command, sections=SECTIONS)
@inventory_option
@json_option
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show what would start or restart, and why, without the checks, which plan runs.",
)
@start_options
def up(inventory: Path, *, as_json: bool, dry_run: bool, **options: Any) -> None:
    """Start what is missing, and wait for a real completion.

    A second run changes nothing. A start that is under way is watched.

    Asks before it restarts a model that is served because a setting changed; without a terminal
    --yes is required. Ctrl-C asks whether the start is stopped or left running; without a terminal
    it is stopped. A start that another command made always goes on.

    A service with a node that cannot be reached or read is left alone and named; then it exits 1
    when the others are up.

    \b
    Examples:
      # Start the cluster and wait for the model
      sparkctl up
      # Show what would start or restart, and why
      sparkctl up --dry-run
      # Return before the model is loaded
      sparkctl up --detach
      # Start although a check fails
      sparkctl up --ignore-check fabric.mtu
    """
    from sparkctl.cli.bringup import bring_up
    from sparkctl.cli.partial import exit_where
    from sparkctl.output.up import print_report

    if dry_run:
        _show(inventory, as_json=as_json, options=options)
        return
    report = bring_up(inventory, **options)
    print_report(report, inventory, as_json=as_json)
    exit_where(report.left_alone)


def _show(inventory: Path, *, as_json: bool, options: dict[str, Any]) -> None:
    """Print what `up` would do."""
    from sparkctl.cli.context import open_session
    from sparkctl.cli.partial import exit_where
    from sparkctl.doctor.runner import choose_checks
    from sparkctl.operations.outlook import outlook
    from sparkctl.operations.up import left_alone
    from sparkctl.output.progress.reporter import reporting
    from sparkctl.output.up import print_outlook

    choose_checks(skip=options["ignore"])  # a typo fails before any node is reached
    with reporting() as progress:
        opened = open_session(
            inventory,
            accept_new=options["accept_new"],
            facts=False,
            read_only=True,
            partial=True,
            reporter=progress,
        )
        with opened as session:
            session.begin()
            found = outlook(session, progress)
            found = replace(found, left=left_alone(session, found))
    print_outlook(found, as_json=as_json)
    exit_where(found.left)
