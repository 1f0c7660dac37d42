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
    """Print, for each node, the exact environment and commands that up would use.

    Reads the nodes' facts and changes nothing. Secrets are masked.
    """
    from sparkctl.cli.context import emit_json, open_session
    from sparkctl.cluster.difference import compare
    from sparkctl.cluster.up import desire, doubtful
    from sparkctl.doctor.preflight import preflight
    from sparkctl.output.console import print_prose, wide_console
    from sparkctl.output.plan import plan_document, plan_lines

    with open_session(inventory, read_only=True) as session:
        wish = desire(session)
        changes = [str(c) for c in compare(wish, session.facts).changes]
        failures = preflight(session, passive=True)
    doubts = doubtful(wish)
    if as_json:
        problems = [{"check": f.check, "node": f.node, "summary": f.summary} for f in failures]
        emit_json(
            {"cluster": wish.inventory.cluster, "nodes": plan_document(wish), "changes": changes,
             "recipe": {"name": wish.recipe.name, "why": wish.recipe.why},
             "problems": problems, "warnings": [str(doubt) for doubt in doubts],
             "doubts": [doubt.document() for doubt in doubts]}
        )  # fmt: skip
        return
    for line in plan_lines(wish):
        click.echo(line)
    console = wide_console()
    print_prose(console, str(wish.recipe), hang=4, margin="# ")
    for doubt in doubts:
        print_prose(console, f"warning: {doubt}", hang=4, margin="# ")
    for change in changes or ["no changes"]:
        print_prose(console, change, hang=4, margin="# ")
    for failure in failures:
        click.echo(f"# would stop up: {failure}", err=True)
