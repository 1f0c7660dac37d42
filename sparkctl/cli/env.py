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
    """Print the effective environment of NODE (default: every node), with each value's layer.

    Secrets are masked.
    """
    from sparkctl.cli.context import named, open_session
    from sparkctl.engines.inventory import load
    from sparkctl.operations.outlook import read
    from sparkctl.output.plan import print_env

    chosen = {n.name for n in named(load(inventory), node)}
    with open_session(inventory, read_only=True) as session:
        desired, _ = read(session)
    print_env(desired, chosen, as_json=as_json)
