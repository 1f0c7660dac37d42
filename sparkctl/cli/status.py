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
@click.option("--deep", is_flag=True, help="Ask vLLM for a real completion.")
def status(inventory: Path, as_json: bool, deep: bool) -> None:
    """Show what runs where since when, Ray's view, and whether vLLM serves.

    Exits 0 when all of it is well, 1 otherwise.
    """
    from dataclasses import asdict

    from sparkctl.cli.context import emit_json, open_session
    from sparkctl.cluster.status import status as look

    with open_session(inventory, read_only=True, partial=True) as session:
        found = look(session, deep=deep)
    if as_json:
        emit_json({"healthy": found.healthy, **asdict(found)})
    else:
        from sparkctl.output.status import print_status

        print_status(found)
    if not found.healthy:
        raise click.exceptions.Exit(1)
