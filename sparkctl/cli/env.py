"""sparkctl env."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import inventory_option, json_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@inventory_option
@json_option
@click.argument("node", required=False)
def env(inventory: Path, as_json: bool, node: str | None) -> None:
    """Print the effective environment of NODE (all when none is named), with each value's layer.

    Secrets are masked.
    """
    from sparkctl.cli.context import emit_json, named, open_session
    from sparkctl.cluster.up import desire
    from sparkctl.output.plan import env_document, env_lines
    from sparkctl.serving.inventory import load

    chosen = {n.name for n in named(load(inventory), node)}
    with open_session(inventory, read_only=True) as session:
        wish = desire(session)
    if as_json:
        emit_json(env_document(wish, chosen))
        return
    for line in env_lines(wish, chosen):
        click.echo(line)
