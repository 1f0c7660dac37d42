"""Errors that several modules of the lab raise, and the hint that most have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.errors import SparkctlError

if TYPE_CHECKING:
    from pathlib import Path


def rebuild_hint(base: Path) -> str:
    """The way out of a lab that is broken."""
    return f"run `sparkctl lab down --dir {base}`, then `sparkctl lab up --dir {base}`"


def nodes_lost(base: Path, names: list[str]) -> SparkctlError:
    """The error for nodes whose first process has ended."""
    are = "is" if len(names) == 1 else "are"
    return SparkctlError(
        f"{', '.join(names)} {are} no longer running in the lab in {base}",
        hint=rebuild_hint(base),
        code="lab-node-lost",
        data={"nodes": names},
    )
