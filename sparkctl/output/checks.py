"""The list of checks, and what is documented of each."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sparkctl.doctor.explain import entries
from sparkctl.output.stdio import print_json, print_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.doctor.check import Check
    from sparkctl.output.stdio import Fields


def print_checks(checks: Sequence[Check], *, as_json: bool) -> None:
    """Print each check's id, scope and subject."""
    if as_json:
        print_json([_document(check) for check in checks])
        return
    for check in checks:
        print_out(f"{check.id:<22} {check.scope:<8} {entries()[check.id].what}")


def print_entries(checks: Sequence[Check], *, as_json: bool) -> None:
    """Print the whole documentation of each check."""
    if as_json:
        print_json([_document(check) for check in checks])
        return
    for check in checks:
        print_out(check.id)
        for title, text in asdict(entries()[check.id]).items():
            print_out(f"  {title:<7} {text}")


def _document(check: Check) -> Fields:
    known = {"check": check.id, "scope": check.scope, "preflight": check.preflight}
    return {**known, **asdict(entries()[check.id])}
