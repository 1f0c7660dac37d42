"""sparkctl validate."""

from __future__ import annotations

from pathlib import Path

import click

from sparkctl.cli.options import inventory_option, json_option


@click.command()
@inventory_option
@json_option
@click.option("--connect", is_flag=True, help="Reach every node by SSH as well.")
def validate(inventory: Path, as_json: bool, connect: bool) -> None:
    """Check the inventory and its env layers; contact no node (unless --connect)."""
    from sparkctl.cli.context import emit_json
    from sparkctl.inventory.layers import load_layers
    from sparkctl.inventory.loader import load

    loaded = load(inventory)
    load_layers(loaded, inventory.parent)
    reached: list[tuple[str, str | None]] = []
    if connect:
        from sparkctl.cluster.reach import reach

        reached = reach(loaded)
    failed = [name for name, error in reached if error]
    if as_json:
        emit_json(
            {
                "cluster": loaded.cluster,
                "valid": True,
                "nodes": [n.name for n in loaded.nodes],
                "reached": {name: error for name, error in reached} if connect else None,
            }
        )
    else:
        names = ", ".join(f"{n.name} ({n.role})" for n in loaded.nodes)
        click.echo(f"{inventory} is valid: cluster {loaded.cluster}, {names}")
        for name, error in reached:
            click.echo(error if error else f"{name}: reached")
    if failed:
        raise click.exceptions.Exit(1)
