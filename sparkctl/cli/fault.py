"""sparkctl lab fault, lab heal, lab faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import form_option, lab_option

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.output.stdio import Form


@click.command()
@lab_option
@click.option("--node", help="Inject into this node; `lab faults` lists the defaults.")
@click.argument("name")
def fault(folder: Path, node: str | None, name: str) -> None:
    """Inject the fault NAME; it is in effect on return.

    Several may be active, as long as they do not change the same thing.
    """
    from sparkctl.lab.faults import engine
    from sparkctl.output.lab import print_injected

    active = engine.inject(folder, name, node)
    print_injected(active, engine.named(name).happens)


@click.command()
@lab_option
@click.argument("name", required=False)
def heal(folder: Path, name: str | None) -> None:
    """Undo the fault NAME, or all faults, exactly."""
    from sparkctl.lab.faults import engine
    from sparkctl.output.lab import print_healed

    print_healed(engine.heal(folder, name))


@click.command()
@lab_option
@form_option
def faults(folder: Path, form: Form) -> None:
    """List the faults, and on which nodes they are active."""
    from sparkctl.lab.faults import engine
    from sparkctl.output.lab import print_faults

    print_faults(engine.overview(folder), form)
