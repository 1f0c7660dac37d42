"""What `up` did, and what it would do."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sparkctl.output.stdio import print_json, print_out

if TYPE_CHECKING:
    from sparkctl.operations.up import Outlook, UpReport


def print_report(report: UpReport, *, as_json: bool) -> None:
    """Print where the model is served, and whether anything was changed."""
    if as_json:
        texts = [str(doubt) for doubt in report.doubts]
        print_json({"changed": bool(report.changes), **asdict(report), "warnings": texts})
        return
    unchanged = "" if report.changes else "no changes: "
    print_out(f"{unchanged}{report.model} is served at {report.endpoint}")


def print_outlook(outlook: Outlook, *, as_json: bool) -> None:
    """Print what would change, and which model would be stopped."""
    changes = outlook.difference.changes
    if as_json:
        document = {
            "cluster": outlook.wish.inventory.cluster,
            "changes": [asdict(change) for change in changes],
            "ends": outlook.ends,
            "warnings": [str(doubt) for doubt in outlook.doubts],
            "doubts": [doubt.document() for doubt in outlook.doubts],
        }
        print_json(document)
        return
    for change in changes:
        print_out(f"would {change}")
    if outlook.ends:
        print_out(f"would stop and restart {outlook.ends}, which is served")
    if not changes:
        print_out("no changes")
