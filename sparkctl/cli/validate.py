"""sparkctl validate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import inventory_option, json_option

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.doubts import Doubt
    from sparkctl.errors import SparkctlError
    from sparkctl.inventory.layers import Layer
    from sparkctl.inventory.models import Inventory


@click.command()
@inventory_option
@json_option
@click.option("--connect", is_flag=True, help="Connect to every node by SSH as well.")
def validate(inventory: Path, as_json: bool, connect: bool) -> None:
    """Check the inventory and its env layers; contact no node unless --connect.

    Prints every problem at once, as file:line:column: path: text, and exits 2. With --connect,
    exits 1 when a node is unreachable.

    \b
    Examples:
      # Check the file
      sparkctl validate
      # Also log in to every node
      sparkctl validate --connect -i sparks/inventory.yaml
    """
    from sparkctl.engines.inventory import load
    from sparkctl.inventory.layers import load_layers
    from sparkctl.output.validate import print_valid

    loaded = load(inventory)
    doubts = _doubts(loaded, load_layers(loaded, inventory.parent))
    reached: dict[str, SparkctlError | None] = {}
    if connect:
        from sparkctl.operations.connect import reach
        from sparkctl.output.progress.waits import WaitRows

        with WaitRows() as rows:
            reached = reach(loaded, rows.watch)
    print_valid(inventory, loaded, doubts, reached, as_json=as_json)
    if any(reached.values()):
        raise click.exceptions.Exit(1)


def _doubts(inventory: Inventory, layers: list[Layer]) -> list[Doubt]:
    """The doubtful settings of every service's nodes, each once."""
    from sparkctl.engines.table import engine_of
    from sparkctl.engines.vllm.environment import BUILT_IN_LAYER, merge
    from sparkctl.inventory.layers import Layer

    found: dict[Doubt, None] = {}
    for view in inventory.views:
        engine = engine_of(view.vllm)
        recipe, own = engine.unread(view), Layer(BUILT_IN_LAYER, dict(engine.built_in))
        for node in view.nodes:
            values = {k: s.value for k, s in merge(view, node, [own, *layers]).items()}
            found |= dict.fromkeys(engine.doubts(view, values, recipe))
    return list(found)
