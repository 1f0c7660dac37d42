"""What `support-bundle` prints in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.output.bundle.readme import READ_IT
from sparkctl.output.stdio import print_err, print_json, print_wrapped

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.output.bundle.contents import Gathered


def print_bundle(path: Path, found: Gathered, *, as_json: bool) -> None:
    """Print the file's path and size on stdout, and on stderr what is not in it."""
    size = path.stat().st_size
    for error in found.failed.values():
        print_err(f"error: {error}")
    for what, why in found.left_out.items():
        print_err(f"left out: {what}: {why}")
    if as_json:
        print_json(
            {
                "path": str(path),
                "bytes": size,
                "nodes": [n for n in found.snapshot.reached if n not in found.failed],
                "failed": [
                    {"node": name, "code": error.code, "why": error.message}
                    for name, error in found.failed.items()
                ],
                "left_out": [{"what": what, "why": why} for what, why in found.left_out.items()],
            }
        )
        return
    print_wrapped(f"wrote {path} ({_size(size)})")
    print_wrapped(READ_IT)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(1, round(count / 1000))} KB"
