"""How a command ends that left services alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.scope import Left


def exit_where(left: Sequence[Left]) -> None:
    """Print on stderr what was left alone and exit 1; nothing where nothing was."""
    if left:
        from sparkctl.output.failure import show_left

        show_left(left)
        raise click.exceptions.Exit(1)
