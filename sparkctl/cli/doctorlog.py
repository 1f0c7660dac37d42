"""sparkctl doctor --log."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.cli.examination import Examination
    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.log_causes import Decision
    from sparkctl.fabric.nccllog.model import LogVerdict


def diagnose(
    logs: Sequence[str],
    examination: Examination | None,
    *,
    inventory: Path,
    optional: bool,
    as_json: bool,
) -> bool:
    """Print the verdict on these logs, and what checks on the nodes decide of it, if there are any.

    With `optional` the verdict stands alone where the inventory cannot be used: the log is what
    was asked for. Gives whether the log or a deciding check failed, or no log has a known line.
    """
    from sparkctl.doctor.logs import read_logs
    from sparkctl.doctor.runner import failed
    from sparkctl.output.documents import of_log
    from sparkctl.output.stdio import print_json

    verdict = read_logs(logs).at(_key(inventory))
    if not as_json:
        from sparkctl.output.nccllog import print_decided, print_verdict

        print_verdict(verdict)
    decided = _decide(verdict, examination, optional=optional) if examination else None
    if as_json:
        print_json(of_log(verdict, decided))
    elif decided:
        print_decided(*decided)
    unrecognized = {*verdict.unrecognized} == {*logs}
    return unrecognized or verdict.failed or bool(decided and failed(decided[0]))


def _key(inventory: Path) -> str:
    """Where the inventory, if there is one that can be read, has the settings of what logged."""
    from sparkctl.engines.inventory import load
    from sparkctl.errors import SparkctlError
    from sparkctl.inventory.models import SHORT

    try:
        return load(inventory).key
    except SparkctlError:
        return SHORT


def _decide(
    verdict: LogVerdict, examination: Examination, *, optional: bool
) -> tuple[list[Finding], list[Decision]] | None:
    """What the deciding checks find, and what that says of the log's causes.

    None where nothing is open, or the nodes could not be checked.
    """
    from sparkctl.doctor.log_causes import decide, deciding
    from sparkctl.doctor.unreached import gathered
    from sparkctl.errors import SparkctlError
    from sparkctl.output.failure import show_skipped

    if not (checks := deciding(verdict)):
        return None
    try:
        snapshot, findings = replace(examination, only=tuple(checks)).run()
    except SparkctlError as error:
        if not optional:
            raise
        show_skipped(error)
        return None
    return gathered(findings), decide(verdict, findings, snapshot)
