"""sparkctl plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import inventory_option, json_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@inventory_option
@json_option
def plan(inventory: Path, as_json: bool) -> None:
    """Print the exact environment and commands that up would use on each node.

    Reads the nodes' facts and changes nothing. Secrets are masked. Runs the checks of up that need
    no traffic between the nodes.

    Exits 3 when a check would stop up; else 1 when up would fail before it checks, or when a
    service is left out because a node could not be reached or read.

    \b
    Examples:
      # Show what up would run, and where
      sparkctl plan
      # Compare two inventories
      sparkctl plan -i new.yaml > new.txt
    """
    from sparkctl.cli.context import open_session
    from sparkctl.doctor.forecast import forecast
    from sparkctl.output.failure import show_left
    from sparkctl.output.plan import print_plan

    with open_session(inventory, read_only=True, partial=True) as session:
        found = forecast(session)
    print_plan(found, as_json=as_json)
    if found.left:
        show_left(found.left)
    if found.exit_code:
        raise click.exceptions.Exit(found.exit_code)
