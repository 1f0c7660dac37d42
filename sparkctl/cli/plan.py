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
    """Print the exact environment and commands that up would use on each node.

    Reads the nodes' facts and changes nothing. Secrets are masked. Exits 1 when a service is left
    out because a node could not be reached or read.

    \b
    Examples:
      # Show what up would run, and where
      sparkctl plan
      # Compare two inventories
      sparkctl plan -i new.yaml > new.txt
    """
    from sparkctl.cli.context import open_session
    from sparkctl.cli.partial import exit_where
    from sparkctl.doctor.preflight import preflight
    from sparkctl.operations.departed import look
    from sparkctl.operations.outlook import Outlook, doubtful, observe, parts, read
    from sparkctl.operations.outlook import plan as planned
    from sparkctl.operations.up import left_alone
    from sparkctl.output.plan import print_plan

    with open_session(inventory, read_only=True, partial=True) as session:
        session.begin()
        desired, seen = read(session)
        seen = look(session, seen)
        observed = observe(session, desired, seen)
        changes = planned(desired, seen, observed=observed)
        left = left_alone(session, Outlook(tuple(desired), seen, changes, observed=observed))
        doubts = [*doubtful(desired), *session.departed.doubts()]
        failures = [f for part in parts(session) for f in preflight(part, passive=True)]
    print_plan(desired, changes, failures, doubts, left, as_json=as_json)
    exit_where(left)
