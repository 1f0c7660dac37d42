"""What `init` wrote, and what comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.output.stdio import print_wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def print_written(files: Iterable[Path], inventory: Path, *, default: bool) -> None:
    """Print each file and the next command; `default`: it finds the inventory without -i."""
    for path in files:
        print_wrapped(f"wrote {path}")
    option = "" if default else f" -i {inventory}"
    print_wrapped(f"next: edit {inventory}, then `sparkctl validate --connect{option}`")
