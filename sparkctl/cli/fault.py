"""sparkctl lab fault, lab heal, lab faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import json_option, lab_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@lab_option
@click.option("--node", help="The node that it happens to; `lab faults` lists the defaults.")
@click.argument("name")
def fault(folder: Path, node: str | None, name: str) -> None:
    """Inject the fault NAME; it is in effect on return.

    Several may be active, as long as they do not change the same thing.
    """
    from sparkctl.lab.faults import engine

    active = engine.inject(folder, name, node)
    click.echo(f"{active.node}: {engine.named(name).happens}")


@click.command()
@lab_option
@click.argument("name", required=False)
def heal(folder: Path, name: str | None) -> None:
    """Undo the fault NAME, or all faults, exactly."""
    from sparkctl.lab.faults import engine

    healed = engine.heal(folder, name)
    for active in healed:
        click.echo(f"{active.node}: healed {active.fault}")
    if not healed:
        click.echo("nothing to heal")


@click.command()
@lab_option
@json_option
def faults(folder: Path, as_json: bool) -> None:
    """List the faults, the active ones marked with *."""
    from sparkctl.cli.context import emit_json
    from sparkctl.lab.faults import engine

    found = engine.overview(folder)
    if as_json:
        emit_json({"faults": found})
        return
    for each in found:
        mark = "*" if each["active"] else " "
        needs = "" if each["needs"] == "nothing" else f" (needs: {each['needs']})"
        click.echo(
            f"{mark} {each['name']:20} {', '.join(each['active']) or each['node']:9}"
            f" {each['happens']}{needs}"
        )
