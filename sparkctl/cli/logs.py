"""sparkctl logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from sparkctl.cli.options import inventory_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@inventory_option
@click.argument("names", metavar="[UNIT|NODE]...", nargs=-1)
@click.option("-f", "--follow", is_flag=True, help="Follow the logs as they grow, until Ctrl-C.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0),
    default=200,
    help="Show this many of the last lines of each log first (default: 200; with --since all).",
)
@click.option(
    "--since",
    metavar="TIME",
    help="Show lines since a time ago (90s, 10m, 2h, 1d) or an ISO 8601 time of this machine.",
)
@click.option("--all", "whole", is_flag=True, help="Show the whole log first, with the start.")
@click.pass_context
def logs(
    context: click.Context,
    *,
    inventory: Path,
    names: tuple[str, ...],
    follow: bool,
    lines: int,
    since: str | None,
    whole: bool,
) -> None:
    """Show the logs of units: each UNIT an id, a kind such as `ray` or `vllm`, or a service for its
    engine. A NODE restricts them, or shows what runs there.

    Default: each service's engine; without NODE the head's. A name that is both a unit's and a
    node's is the unit's, and after a UNIT the node's. `sparkctl status -o name` lists the ids.

    Several logs come one after the other, with -f as they grow, each line after its log's name. A
    single log has no prefix; a file or pipe gets its bytes as they are. A terminal gets no escape
    sequences of a log. --since begins up to some seconds early, and loses no line.

    \b
    Examples:
      # Follow the engine's log
      sparkctl logs -f
      # Follow Ray on two nodes
      sparkctl logs ray spark-1 spark-2 -f
      # The last 10 minutes of a node
      sparkctl logs spark-2 --since 10m
      # A whole log, for doctor --log
      sparkctl logs vllm --all > vllm.log
    """
    from sparkctl.cli.context import open_session
    from sparkctl.engines.inventory import load
    from sparkctl.operations.logs.read import Wanted, read_logs
    from sparkctl.operations.logs.records import resolved
    from sparkctl.operations.logs.selection import select
    from sparkctl.operations.logs.since import since as parsed
    from sparkctl.output.logstream import LogPrinter

    limited = context.get_parameter_source("lines") is not ParameterSource.DEFAULT
    _check(whole=whole, limited=limited, since=since)
    begin = parsed(since) if since is not None else None
    bound = None if whole or (begin and not limited) else lines
    found = select(load(inventory), names)
    opened = open_session(
        inventory, read_only=True, partial=True, facts=False, waits="until opened"
    )
    with opened as session:
        selected = resolved(session, found)
        printer = LogPrinter(selected)
        read_logs(session, selected, Wanted(bound, begin, follow), printer.show)
    if printer.failed:
        context.exit(1)


def _check(*, whole: bool, limited: bool, since: str | None) -> None:
    """Raise UsageError for --all with an option that limits what is shown."""
    from sparkctl.errors import UsageError

    options = [name for name, given in (("--lines", limited), ("--since", since)) if given]
    if whole and options:
        raise UsageError(
            f"--all conflicts with {options[0]}",
            hint="--all shows every line that is kept",
            code="options-conflict",
            data={"options": options},
        )
