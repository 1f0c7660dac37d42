"""sparkctl doctor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from sparkctl.cli.examination import Examination
from sparkctl.cli.groups import Command
from sparkctl.cli.options import form_option, inventory_option
from sparkctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection

    from sparkctl.errors import SparkctlError
    from sparkctl.output.stdio import Form

# What a log's verdict has no use for.
NODE_OPTIONS = {
    "names": "NODE",
    "only": "--check",
    "skip": "--skip",
    "passive": "--passive",
    "report": "--report",
    "fix": "--fix",
    "yes": "--yes",
}
# How --help groups the options.
SECTIONS = {
    "Which checks": ("only", "skip", "passive", "list_checks", "explain"),
    "Logs": ("logs",),
    "Fix and report": ("fix", "yes", "report"),
}


@click.command(cls=Command, sections=SECTIONS)
@click.argument("names", metavar="[NODE…]", nargs=-1)
@inventory_option
@form_option
@click.option("--check", "only", multiple=True, metavar="ID", help="Run only this check or family.")
@click.option("--skip", multiple=True, metavar="ID", help="Skip this check or family.")
@click.option(
    "--passive",
    is_flag=True,
    help="Send no ping, load no library, start no container, generate no token.",
)
@click.option("--list-checks", is_flag=True, help="List the checks' ids.")
@click.option("--explain", metavar="ID", help="Print what a check looks at, and why.")
@click.option(
    "--log",
    "logs",
    multiple=True,
    metavar="FILE",
    help="Read NCCL's output in this log (- is stdin) instead; repeat it for each rank's log.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Also write the findings as a page with names and secrets masked, to send to others.",
)
@click.option("--fix", is_flag=True, help="Apply fixes that are safe and reversible, after asking.")
@click.option("--yes", is_flag=True, help="Apply --fix without asking.")
@click.option("-v", "--verbose", is_flag=True, help="Print what passed as well.")
@click.pass_context
def doctor(
    context: click.Context,
    *,
    names: tuple[str, ...],
    inventory: Path,
    form: Form,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    passive: bool,
    list_checks: bool,
    explain: str | None,
    logs: tuple[str, ...],
    report: Path | None,
    fix: bool,
    yes: bool,
    verbose: bool,
) -> None:
    """Find why the fabric is slow or a start fails: the cause, the evidence and the fix.

    Changes nothing, unless --fix. Exits 3 when a check failed, or when none could be decided on a
    node.

    --log needs neither a cluster nor an inventory. It shows the transport of every rank, why NCCL
    chose it, and the fix, from the log of NCCL 2.8 or newer under NCCL_DEBUG=INFO. With -i, checks
    on the nodes decide between the causes that the log leaves open.

    \b
    Examples:
      # Check all nodes
      sparkctl doctor
      # One family of checks, on one node and its peers
      sparkctl doctor spark-2 --check fabric
      # What a check looks at, and why
      sparkctl doctor --explain fabric.mtu
      # Why NCCL does not use RDMA; needs no cluster
      sparkctl doctor --log vllm.log
    """
    as_json = form == "json"
    if not list_checks and form in ("wide", "name"):
        raise UsageError(f"-o {form} requires --list-checks", hint="print the findings without -o")
    source = context.get_parameter_source("inventory")
    default = source is ParameterSource.DEFAULT
    examination = Examination(inventory, default, names, only, skip, passive)
    if explain:
        from sparkctl.output.checks import print_entries

        print_entries(replace(examination, only=(explain,)).checks(), as_json=as_json)
    elif list_checks:
        from sparkctl.output.checks import print_checks

        print_checks(examination.checks(), form)
    elif logs:
        from sparkctl.cli.doctorlog import diagnose

        _refuse([option for name, option in NODE_OPTIONS.items() if context.params[name]])
        alone = None if default else Examination(inventory, default)
        optional = source is ParameterSource.ENVIRONMENT
        if diagnose(logs, alone, inventory=inventory, optional=optional, as_json=as_json):
            raise click.exceptions.Exit(3)
    else:
        raise click.exceptions.Exit(
            _examine(examination, report, fix=fix, yes=yes, as_json=as_json, verbose=verbose)
        )


def _examine(
    examination: Examination,
    report: Path | None,
    *,
    fix: bool,
    yes: bool,
    as_json: bool,
    verbose: bool,
) -> int:
    """Check the nodes, apply --fix, write --report, print the findings; gives the exit code."""
    if report:
        from sparkctl.output.report.pagefile import check_target

        check_target(report)
    error = None
    if fix:
        from sparkctl.cli.doctorfix import offer
        from sparkctl.doctor.unfinished import Unfinished

        unfinished = Unfinished()
        snapshot, findings = examination.run(unfinished.read)
        changed, error = offer(examination, findings, unfinished, yes=yes)
        if changed:
            snapshot, findings = examination.run()
    else:
        snapshot, findings = examination.run()
    from sparkctl.doctor.runner import failed, undecided
    from sparkctl.doctor.unreached import gathered

    open_nodes = undecided(snapshot, examination.checks(), findings)
    code = _exit_code(error, bad=bool(failed(findings) or open_nodes))
    findings = gathered(findings)
    if report:
        from sparkctl.output.report.write import write_report

        write_report(report, snapshot, findings)
    if as_json:
        from sparkctl.output.documents import of_findings
        from sparkctl.output.stdio import print_json

        print_json(of_findings(snapshot.inventory, findings, open_nodes, error, code))
    else:
        from sparkctl.output.doctor import print_findings, print_undecided

        print_findings(findings, snapshot.inventory.imitated, verbose=verbose)
        print_undecided(open_nodes)
    if error:
        from sparkctl.output.failure import show

        show(error, as_json=False)
    return code


def _exit_code(error: SparkctlError | None, *, bad: bool) -> int:
    """Usage counts first, then the checks (`bad`), then a change that failed."""
    if error and (error.exit_code == 2 or not bad):
        return error.exit_code
    return 3 if bad else 0


def _refuse(options: Collection[str]) -> None:
    if options:
        raise UsageError(
            f"--log conflicts with {', '.join(options)}",
            hint="run `sparkctl doctor` without --log to check the nodes",
            code="options-conflict",
            data={"options": [*options]},
        )
