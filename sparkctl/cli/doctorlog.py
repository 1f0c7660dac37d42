"""sparkctl doctor --log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.log_causes import Decision
    from sparkctl.doctor.snapshot import View
    from sparkctl.fabric.nccllog.model import LogVerdict

Examine = Callable[[Sequence[str]], "tuple[View, list[Finding]]"]


def diagnose(
    logs: Sequence[str], examine: Examine | None, *, optional: bool, as_json: bool
) -> None:
    """The verdict on these logs and, by `examine`, what checks on the nodes decide of it.

    With `optional` the verdict stands alone where the inventory cannot be used: the log is what
    was asked for. Exits 3 when the log or a deciding check failed, or no log has a known line.
    """
    from sparkctl.cli.context import emit_json
    from sparkctl.doctor.logs import read_logs
    from sparkctl.doctor.runner import failed

    verdict = read_logs(logs)
    if not as_json:
        from sparkctl.output.nccllog import print_verdict

        print_verdict(verdict)
    decided = _decided(verdict, examine, optional=optional) if examine else None
    if as_json:
        document: dict[str, Any] = verdict.document()
        if decided is not None:
            document["decided"] = [f.document() for f in decided[0]]
            document["decisions"] = [asdict(d) for d in decided[1]]
        emit_json(document)
    elif decided is not None:
        from sparkctl.output.doctor import print_findings
        from sparkctl.output.nccllog import print_decisions

        click.echo("\nthe checks that decide, on the nodes now:")
        print_findings(decided[0], [], verbose=True)
        print_decisions(decided[1])
    nothing = {*verdict.unrecognized} == {*logs}
    if nothing or verdict.failed or (decided is not None and failed(decided[0])):
        raise click.exceptions.Exit(3)


def _decided(
    verdict: LogVerdict, examine: Examine, *, optional: bool
) -> tuple[list[Finding], list[Decision]] | None:
    """What the deciding checks find, and what that says of the log's causes; None where nothing
    is open, or nobody could be asked."""
    from sparkctl.doctor.log_causes import decide, deciding
    from sparkctl.errors import SparkctlError

    checks = deciding(verdict)
    if not checks:
        return None
    try:
        view, findings = examine(checks)
    except SparkctlError as error:
        if not optional:
            raise
        click.echo(f"the nodes were not asked (SPARKCTL_INVENTORY): {error}", err=True)
        return None
    return findings, decide(verdict, findings, view)
