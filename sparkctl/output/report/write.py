"""The page of `doctor --report`, written and named on stderr."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

from sparkctl.doctor.masking import masking
from sparkctl.errors import SparkctlError
from sparkctl.output.report.page import hosts, page, people
from sparkctl.output.report.pagefile import write_page
from sparkctl.output.report.withheld import note, unmaskable
from sparkctl.output.stdio import print_err

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.snapshot import Snapshot


def write_report(path: Path, snapshot: Snapshot, findings: Sequence[Finding]) -> None:
    """Write the page to `path`.

    Raises UsageError where another file is there, SparkctlError where it cannot be written.
    """
    homes = [facts.home for facts in snapshot.all_facts.values()]
    masks = masking({*people(snapshot), getpass.getuser()}, hosts(snapshot), homes)
    text = page(snapshot, findings, masks)
    try:
        write_page(path, text)
    except OSError as error:
        raise SparkctlError(
            f"cannot write the report to {path}: {error.strerror}",
            hint="name a file in a folder that you may write to",
            code="report-unwritable",
        ) from error
    for name in unmaskable(snapshot):
        print_err(note(name))
    print_err(f"wrote {path}")
