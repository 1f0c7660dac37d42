"""sparkctl restart."""

from __future__ import annotations

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
@start_options
@click.argument("services", nargs=-1, required=True, metavar="SERVICE...")
def restart(inventory: Path, *, as_json: bool, services: tuple[str, ...], **options: Any) -> None:
    """Stop each SERVICE and start it as the inventory describes it; touch no other.

    Asks before it stops a model that is served; without a terminal --yes is required. A service
    that does not run is started.

    \b
    Examples:
      # Restart a service, after asking
      sparkctl restart chat
      # In a script, and return before it is ready
      sparkctl restart chat --yes --detach
    """
    from sparkctl.cli.bringup import bring_up
    from sparkctl.cli.context import check_services
    from sparkctl.cli.partial import exit_where
    from sparkctl.engines.inventory import load
    from sparkctl.output.up import print_report

    check_services(load(inventory), services)
    report = bring_up(inventory, **options, restart=services)
    print_report(report, inventory, as_json=as_json)
    exit_where(report.left_alone)
