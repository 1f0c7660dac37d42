"""What `down` ended and removed, and where it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.output.failure import show_log
from sparkctl.output.spans import duration
from sparkctl.output.stdio import print_err, print_json, print_out, print_wrapped

if TYPE_CHECKING:
    from sparkctl.operations.down import DownReport
    from sparkctl.output.stdio import Fields

AGAIN = "fix what failed, then run `sparkctl down` again"
UNKNOWN = ("record-damaged", "record-missing")  # another `down` of the service fails again


def print_report(report: DownReport, *, as_json: bool) -> None:
    """Print it by node; what failed on stderr, also with `as_json`."""
    if as_json:
        print_json(_document(report))
    else:
        _print(report)
    for name, error in report.failed.items():
        print_err(f"error: {name}: cleanup failed: {error.message}")
    if report.failed:
        hints = [e.hint for e in report.failed.values() if e.code in UNKNOWN and e.hint]
        for hint in dict.fromkeys(hints or [AGAIN]):
            print_err(f"hint: {hint}")
        show_log()


def _print(report: DownReport) -> None:
    for name, ended in report.stopped.items():
        count = f"{len(ended)} process{'es' if len(ended) > 1 else ''}"
        print_wrapped(f"{name}: {count} ended")
    for name, paths in report.removed.items():
        print_wrapped(f"{name}: removed {', '.join(paths)}")
    if report.nothing:
        print_out("nothing to do")
    else:
        print_out(f"total time: {duration(report.total)}")


def _document(report: DownReport) -> Fields:
    return {
        "changed": bool(report.stopped or report.removed),
        "cluster": report.cluster,
        "stopped": report.stopped,
        "removed": report.removed,
        "failed": {name: str(error) for name, error in report.failed.items()},
        "total_seconds": round(report.total, 1),
        "codes": {name: error.code for name, error in report.failed.items()},
    }
