"""sparkctl plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import inventory_option, json_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@inventory_option
@json_option
def plan(inventory: Path, as_json: bool) -> None:
    """Print, for each node, the exact environment and commands that up would use.

    Reads the nodes' facts and changes nothing. Secrets are masked.
    """
    from sparkctl.cli.context import open_session
    from sparkctl.doctor.preflight import preflight
    from sparkctl.operations.departed import look
    from sparkctl.operations.outlook import doubtful, read
    from sparkctl.operations.outlook import plan as planned
    from sparkctl.output.plan import print_plan

    with open_session(inventory, read_only=True) as session:
        desired, seen = read(session)
        changes = planned(desired, look(session, seen))
        doubts = [*doubtful(desired), *session.departed.doubts()]
        failures = preflight(session, passive=True)
    print_plan(desired, changes, failures, doubts, as_json=as_json)
