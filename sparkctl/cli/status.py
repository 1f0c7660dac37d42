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
@click.option("--deep", is_flag=True, help="Generate a few tokens.")
@click.option("--host", metavar="NODE", help="Show what runs on a node, without an inventory.")
def status(inventory: Path, *, as_json: bool, deep: bool, host: str | None) -> None:
    """Show what runs where since when, Ray's view, and whether the engine serves.

    Exits 0 when the cluster is healthy, 1 otherwise, also while it starts. With --host, a name or
    address as for ssh(1), shows the account's clusters there: who started them, their nodes and
    units; exits 0 when they could be read.

    \b
    Examples:
      # Show units, ranks and the API
      sparkctl status
      # Also generate a few tokens
      sparkctl status --deep
      # Whose clusters are on this node
      sparkctl status --host spark-1
    """
    if host is not None:
        _show_host(host, as_json=as_json, deep=deep)
        return
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


def _show_host(host: str, *, as_json: bool, deep: bool) -> None:
    from sparkctl.errors import UsageError
    from sparkctl.operations.host import host_status

    if deep:
        raise UsageError(
            "--host conflicts with --deep",
            hint="--deep needs the inventory",
            code="options-conflict",
            data={"options": ["--deep"]},
        )
    found = host_status(host)
    if as_json:
        from sparkctl.output.documents import of_host
        from sparkctl.output.stdio import print_json

        print_json(of_host(found))
    else:
        from sparkctl.output.host import print_host

        print_host(found)
