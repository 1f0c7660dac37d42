"""Compares where Ray has put the ranks with the plan, while vLLM starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.errors import RemoteError
from sparkctl.facts.answers import Failed
from sparkctl.operations.raytable import ray_table
from sparkctl.plan.placement import misplaced, placements

if TYPE_CHECKING:
    from sparkctl.operations.run import Run


def check_ranks(run: Run) -> bool:
    """Compare Ray's placement with the plan; False when Ray does not show one (yet).

    Raises ServingError when a rank is on another node.
    """
    try:
        table = ray_table(run.session, run.wish)
    except RemoteError:
        return False
    if isinstance(table, Failed):
        return False
    error = misplaced(run.session.inventory, run.wish.ray_names, table)
    if error:
        raise error
    return bool(placements(table))
