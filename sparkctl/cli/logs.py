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
    """Show the log of a UNIT: its id, `ray` or `vllm` on NODE, or a service's engine.

    Default: the engine's log on the head. `sparkctl status --json` lists the ids of units.

    `sparkctl logs vllm --all > vllm.log` gives a file for `sparkctl doctor --log`.
    Leaves out colours and other escape sequences on a terminal; a file or pipe gets them.
    """
    from sparkctl.cli.context import named, open_session
    from sparkctl.engines.inventory import load
    from sparkctl.errors import SparkctlError, UsageError
    from sparkctl.operations.logs import chosen, read_log
    from sparkctl.output.logstream import print_log

    if whole and context.get_parameter_source("lines") is not ParameterSource.DEFAULT:
        raise UsageError(
            "--all conflicts with --lines",
            hint="--all shows every line that is kept",
            code="options-conflict",
            data={"options": ["--lines"]},
        )
    loaded = load(inventory)
    log = chosen(loaded, unit, named(loaded, node)[0].name if node else None)
    name = log.node.name
    opened = open_session(
        inventory, read_only=True, partial=True, facts=False, waits="until opened"
    )
    with opened as session:
        if name in session.pool.errors:
            raise session.pool.errors[name]
        printed = print_log(
            read_log(session, log.node, log.unit, lines=None if whole else lines, follow=follow)
        )
    if not printed and not follow:
        raise SparkctlError(
            f"no {log.kind} log of cluster {loaded.cluster}",
            node=name,
            hint="`sparkctl status` shows what runs; vLLM's log is on the head",
            code="log-missing",
            data={"log": log.kind, "unit": log.unit},
        )
