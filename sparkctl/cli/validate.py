"""sparkctl validate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import inventory_option, json_option

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.doubts import Doubt
    from sparkctl.inventory.layers import Layer
    from sparkctl.inventory.models import Inventory


@click.command()
@inventory_option
@json_option
@click.option("--connect", is_flag=True, help="Reach every node by SSH as well.")
def validate(inventory: Path, as_json: bool, connect: bool) -> None:
    """Check the inventory and its env layers; contact no node (unless --connect).

    Every problem is told at once, as file:line:column: path: wanted and found; exit 2. With
    --connect, exit 1 when a node cannot be reached.
    """
    from sparkctl.cli.context import emit_json
    from sparkctl.inventory.layers import load_layers
    from sparkctl.serving.inventory import load

    loaded = load(inventory)
    doubts = _doubts(loaded, load_layers(loaded, inventory.parent))
    reached: list[tuple[str, str | None]] = []
    if connect:
        from sparkctl.cluster.reach import reach
        from sparkctl.output.waits import WaitLine

        with WaitLine() as line:
            reached = reach(loaded, line.watch)
    if as_json:
        emit_json(
            {
                "cluster": loaded.cluster,
                "valid": True,
                "nodes": [n.name for n in loaded.nodes],
                "warnings": [str(doubt) for doubt in doubts],
                "doubts": [doubt.document() for doubt in doubts],
                "reached": dict(reached) if connect else None,
            }
        )
    else:
        _print(inventory, loaded, reached)
        for doubt in doubts:
            click.echo(f"warning: {doubt}", err=True)
    if any(error for _, error in reached):
        raise click.exceptions.Exit(1)


def _doubts(inventory: Inventory, layers: list[Layer]) -> list[Doubt]:
    """The doubtful settings of every node, each once."""
    from sparkctl.serving.environment import merge
    from sparkctl.serving.recipe import choose_recipe
    from sparkctl.serving.rules import warnings

    recipe = choose_recipe(inventory.vllm, None)
    return list(
        dict.fromkeys(
            doubt
            for node in inventory.nodes
            for doubt in warnings(
                inventory, {k: s.value for k, s in merge(inventory, node, layers).items()}, recipe
            )
        )
    )


def _print(path: Path, inventory: Inventory, reached: list[tuple[str, str | None]]) -> None:
    vllm = inventory.vllm
    click.echo(f"{path} is valid")
    click.echo(f"  cluster  {inventory.cluster}")
    click.echo("  nodes    " + ", ".join(f"{n.name} ({n.role})" for n in inventory.nodes))
    click.echo(f"  env      {', '.join(inventory.env.layers) or 'no layers'}")
    click.echo(f"  model    {vllm.model} on port {vllm.port}, TP {vllm.tensor_parallel_size}")
    for name, error in reached:
        click.echo(f"{name}: cannot be reached: {error}" if error else f"{name}: reached")
