"""sparkctl up."""

from __future__ import annotations

from pathlib import Path

import click

from sparkctl.cli.options import inventory_option, json_option


@click.command()
@inventory_option
@json_option
@click.option("--keep", is_flag=True, help="Leave what was started when a step fails.")
@click.option("--accept-new", is_flag=True, help="Record the keys of hosts never seen before.")
@click.option("--ignore-check", "ignore", multiple=True, metavar="ID", help="Go on in spite of it.")
def up(
    inventory: Path, as_json: bool, keep: bool, accept_new: bool, ignore: tuple[str, ...]
) -> None:
    """Start Ray and vLLM, until a real completion comes back.

    A second run changes nothing; after a failure of a part, only what is missing is started.
    """
    from dataclasses import asdict

    from sparkctl.cli.context import emit_json, open_session
    from sparkctl.cluster.up import up as bring_up
    from sparkctl.doctor.preflight import preflight, refuse
    from sparkctl.doctor.runner import choose_checks
    from sparkctl.report.reporter import reporter

    choose_checks(skip=ignore)  # a typo is told before any node is reached
    progress = reporter()
    try:
        progress.step("connect to the nodes")
        with open_session(inventory, accept_new=accept_new) as session:
            report = bring_up(
                session,
                progress,
                preflight=lambda s: refuse(preflight(s, ignore=ignore)),
                keep=keep,
            )
    finally:
        progress.close()
    if as_json:
        emit_json({"changed": bool(report.changes), **asdict(report)})
    elif report.changes:
        click.echo(f"{report.model} is served at {report.endpoint}")
    else:
        click.echo(f"no changes: {report.model} is served at {report.endpoint}")
