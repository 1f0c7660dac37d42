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
@click.argument("unit", required=False)
@click.argument("node", required=False)
@click.option("-f", "--follow", is_flag=True, help="Follow the log as it grows, until Ctrl-C.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0),
    default=200,
    show_default=True,
    help="Show this many of the last lines first.",
)
@click.option("--all", "whole", is_flag=True, help="Show the whole log first, with the start.")
@click.pass_context
def logs(
    context: click.Context,
    *,
    inventory: Path,
    unit: str | None,
    node: str | None,
    follow: bool,
    lines: int,
    whole: bool,
) -> None:
    """Show the log of a UNIT: its id, a kind such as `ray` or `vllm`, or a service for its engine.

    Default: the engine's log on the head, or on NODE. `sparkctl status --json` lists the ids
    of units. Leaves out colours and other escape sequences on a terminal; a file or pipe gets them.

    \b
    Examples:
      # Follow the engine's log
      sparkctl logs -f
      # Ray's log on one node
      sparkctl logs ray spark-2
      # A whole log, for doctor --log
      sparkctl logs vllm --all > vllm.log
    """
    from sparkctl.cli.context import named, open_session
    from sparkctl.engines.inventory import load
    from sparkctl.errors import UsageError
    from sparkctl.operations.logs import ELSEWHERE, chosen, missing, read_log, recorded
    from sparkctl.output.logstream import print_log

    if whole and context.get_parameter_source("lines") is not ParameterSource.DEFAULT:
        raise UsageError(
            "--all conflicts with --lines",
            hint="--all shows every line that is kept",
            code="options-conflict",
            data={"options": ["--lines"]},
        )
    loaded = load(inventory)
    on = named(loaded, node)[0].name if node else None
    log = unknown = None
    try:
        log = chosen(loaded, unit, on)
    except UsageError as error:
        by_records = ("unit-unknown",) if "/" in (unit or "") else ("unit-unknown", ELSEWHERE)
        if unit is None or error.code not in by_records:
            raise
        unknown = error  # until the nodes' records say more
    opened = open_session(
        inventory, read_only=True, partial=True, facts=False, waits="until opened"
    )
    with opened as session:
        if unit is not None and unknown is not None:
            log = recorded(session, unit, on, unknown)
        assert log is not None
        if log.node.name in session.pool.errors:
            raise session.pool.errors[log.node.name]
        printed = print_log(
            read_log(session, log.node, log.unit, lines=None if whole else lines, follow=follow)
        )
    if not printed and not follow:
        raise missing(loaded, log)
