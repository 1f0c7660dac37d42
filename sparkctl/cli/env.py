"""sparkctl env."""

from __future__ import annotations

from pathlib import Path

import click

from sparkctl.cli.options import inventory_option, json_option


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
    from sparkctl.inventory.loader import load
    from sparkctl.serving.environment import masked

    chosen = {n.name for n in named(load(inventory), node)}
    with open_session(inventory, read_only=True) as session:
        wish = desire(session)
    shown = {
        name: {k: (masked(k, s.value), s.layer) for k, s in part.environment.items()}
        for name, part in wish.nodes.items()
        if name in chosen
    }
    if as_json:
        emit_json(
            {n: {k: {"value": v, "layer": y} for k, (v, y) in e.items()} for n, e in shown.items()}
        )
        return
    for name, values in shown.items():
        click.echo(f"# {name}")
        width = max(len(f"{k}={v}") for k, (v, _) in values.items())
        for key, (value, layer) in values.items():
            click.echo(f"{f'{key}={value}':<{width}}  # {layer}")
