"""sparkctl status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import conflict, form_option, inventory_option

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.status import Status
    from sparkctl.output.stdio import Form

INTERVAL = 2.0  # seconds


@click.command()
@inventory_option
@form_option
@click.option("--deep", is_flag=True, help="Generate a few tokens.")
@click.option("--host", metavar="NODE", help="Show what runs on a node, without an inventory.")
@click.option("-w", "--watch", is_flag=True, help="Show the status again and again, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1),
    metavar="SECONDS",
    help=f"Wait so long between two looks of --watch (default: {INTERVAL:g}).",
)
def status(
    inventory: Path,
    *,
    form: Form,
    deep: bool,
    host: str | None,
    watch: bool,
    interval: float | None,
) -> None:
    """Show what runs where since when, Ray's view, and whether the engine serves.

    Exits 0 when the cluster is healthy, 1 otherwise, also while it starts.

    -o wide shows the units as well, -o name prints their ids, which `sparkctl logs` takes.

    With --host, a name or address as for ssh(1), shows the account's clusters there: who started
    them, their nodes and units; exits 0 when they could be read.

    \b
    Examples:
      # Show nodes, services and what is wrong
      sparkctl status
      # Show it again and again, until Ctrl-C
      sparkctl status --watch
      # Also generate a few tokens
      sparkctl status --deep
      # Whose clusters are on this node
      sparkctl status --host spark-1
    """
    _check(form, deep=deep, host=host, watch=watch, interval=interval)
    if host is not None:
        _show_host(host, form)
    elif watch:
        _watch(inventory, interval or INTERVAL, deep=deep, wide=form == "wide")
    else:
        from sparkctl.cli.context import open_session
        from sparkctl.operations.status import status as read_status

        with open_session(inventory, read_only=True, partial=True) as session:
            found = read_status(session, deep=deep)
        _show(found, form)
        if not found.healthy:
            raise click.exceptions.Exit(1)


def _check(
    form: Form, *, deep: bool, host: str | None, watch: bool, interval: float | None
) -> None:
    """Raise UsageError for options that conflict."""
    if host is not None and deep:
        raise conflict("--host", "--deep", hint="--deep needs the inventory")
    if host is not None and watch:
        raise conflict("--host", "--watch", hint="--watch needs the inventory")
    if watch and form in ("json", "name"):
        option = "--json" if form == "json" else "-o name"
        raise conflict("--watch", option, hint=f"run `sparkctl status {option}` for each look")
    if interval is not None and not watch:
        raise click.UsageError("--interval requires --watch")


def _show(found: Status, form: Form) -> None:
    if form == "json":
        from sparkctl.output.documents import of_status
        from sparkctl.output.stdio import print_json

        print_json(of_status(found))
    elif form == "name":
        from sparkctl.output.stdio import print_names

        print_names(unit.id for unit in found.units)
    else:
        from sparkctl.output.status import print_status

        print_status(found, wide=form == "wide")


def _watch(inventory: Path, interval: float, *, deep: bool, wide: bool) -> None:
    from sparkctl.cli.context import open_session
    from sparkctl.operations.watch import Watch
    from sparkctl.output.statuswatch import show

    opened = open_session(inventory, read_only=True, partial=True, waits="until opened")
    with opened as session, Watch(session, deep=deep) as watch:
        show(watch, interval, wide=wide)


def _show_host(host: str, form: Form) -> None:
    from sparkctl.operations.host import host_status

    found = host_status(host)
    if form == "json":
        from sparkctl.output.documents import of_host
        from sparkctl.output.stdio import print_json

        print_json(of_host(found))
    elif form == "name":
        from sparkctl.output.host import print_host_names

        print_host_names(found)
    else:
        from sparkctl.output.host import print_host

        print_host(found, wide=form == "wide")
