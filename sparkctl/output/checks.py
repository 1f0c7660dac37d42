"""The list of checks, and what is documented of each."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sparkctl.doctor.explain import entries
from sparkctl.output.stdio import print_json, print_names, print_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.doctor.check import Check
    from sparkctl.output.stdio import Fields, Form


def print_checks(checks: Sequence[Check], form: Form) -> None:
    """Print each check's id, scope and subject."""
    if form == "json":
        print_json([_document(check) for check in checks])
        return
    if form == "name":
        print_names(check.id for check in checks)
        return
    from sparkctl.output.console import wide_console
    from sparkctl.output.table import KEPT, Column, print_table

    columns = [
        Column("CHECK", [check.id for check in checks], KEPT),
        Column("SCOPE", [check.scope for check in checks], 0),
        Column("BEFORE UP", ["yes" if check.preflight else "no" for check in checks], 0, True),
        Column("EXAMINES", [entries()[check.id].what for check in checks], KEPT, prose=True),
    ]
    print_table(wide_console(), columns, wide=form == "wide")


def print_entries(checks: Sequence[Check], *, as_json: bool) -> None:
    """Print the whole documentation of each check."""
    if as_json:
        print_json([_document(check) for check in checks])
        return
    from sparkctl.output.console import print_prose, wide_console

    console = wide_console()
    for check in checks:
        print_out(check.id)
        for title, text in asdict(entries()[check.id]).items():
            print_prose(console, f"  {title:<7} {text}", 10)


def _document(check: Check) -> Fields:
    known = {"check": check.id, "scope": check.scope, "preflight": check.preflight}
    return {**known, **asdict(entries()[check.id])}
