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
@click.option(
    "--node", metavar="NODE", help="Inject into this node; `lab faults` lists the defaults."
)
@click.argument("name", metavar="FAULT")
def fault(folder: Path, node: str | None, name: str) -> None:
    """Inject FAULT into a node; it is in effect on return.

    Several may be active, as long as they do not change the same thing. `sparkctl lab faults` lists
    them.

    \b
    Examples:
      # Into the default node of this fault
      sparkctl lab fault mtu-1500
      # Into another node
      sparkctl lab fault mtu-1500 --node spark-1
    """
    from sparkctl.lab.faults import engine
    from sparkctl.output.lab import print_injected

    active = engine.inject(folder, name, node)
    print_injected(active, engine.named(name).happens)


@click.command()
@lab_option
@click.argument("name", metavar="[FAULT]", required=False)
def heal(folder: Path, name: str | None) -> None:
    """Undo FAULT, or all faults, exactly.

    \b
    Examples:
      # One fault, on all nodes that have it
      sparkctl lab heal mtu-1500
      # All faults
      sparkctl lab heal
    """
    from sparkctl.lab.faults import engine
    from sparkctl.output.lab import print_healed

    print_healed(engine.heal(folder, name))


@click.command()
@lab_option
@form_option
def faults(folder: Path, form: Form) -> None:
    """List the faults, and on which nodes they are active.

    \b
    Examples:
      # What each fault does, and to which node
      sparkctl lab faults
      # For another program
      sparkctl lab faults -o json
    """
    from sparkctl.lab.faults import engine
    from sparkctl.output.lab import print_faults

    print_faults(engine.overview(folder), form)
