"""sparkctl env."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import inventory_option, json_option
from sparkctl.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@inventory_option
@json_option
@click.argument("node", required=False)
def env(inventory: Path, as_json: bool, node: str | None) -> None:
    """Print the effective environment of NODE (default: every node), with each value's layer.

    Connects to the nodes, as some values are theirs. Secrets are masked. A node without a service
    has no environment.

    \b
    Examples:
      # Every node
      sparkctl env
      # One node, for another program
      sparkctl env spark-2 --json
    """
    from sparkctl.cli.context import named, open_session
    from sparkctl.engines.inventory import load
    from sparkctl.operations.outlook import read
    from sparkctl.output.plan import print_env

    loaded = load(inventory)
    chosen = named(loaded, node)
    if not any(map(loaded.view_of, chosen)):
        raise UsageError(
            f"{node} has no service, so nothing is started there",
            hint="add it to the nodes of a service in the inventory",
            code="node-without-service",
            data={"node": node},
        )
    names = {n.name for n in chosen}
    with open_session(inventory, read_only=True) as session:
        desired, _ = read(session)
    print_env(desired, names, as_json=as_json)
