"""sparkctl status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import inventory_option, json_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@inventory_option
@json_option
@click.option("--deep", is_flag=True, help="Generate a few tokens with vLLM.")
def status(inventory: Path, as_json: bool, deep: bool) -> None:
    """Show what runs where since when, Ray's view, and whether vLLM serves.

    Exits 0 when the cluster is healthy, 1 otherwise.
    """
    from sparkctl.cli.context import open_session
    from sparkctl.operations.status import status as read_status

    with open_session(inventory, read_only=True, partial=True) as session:
        found = read_status(session, deep=deep)
    if as_json:
        from sparkctl.output.documents import of_status
        from sparkctl.output.stdio import print_json

        print_json(of_status(found))
    else:
        from sparkctl.output.status import print_status

        print_status(found)
    if not found.healthy:
        raise click.exceptions.Exit(1)
