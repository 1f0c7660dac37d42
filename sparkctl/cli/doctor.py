"""sparkctl doctor."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from sparkctl.cli.options import inventory_option, json_option

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.doctor.check import Check
    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.snapshot import View
    from sparkctl.errors import SparkctlError


@click.command()
@click.argument("names", metavar="[NODE…]", nargs=-1)
@inventory_option
@json_option
@click.option("--check", "only", multiple=True, metavar="ID", help="Only this check or family.")
@click.option("--skip", multiple=True, metavar="ID", help="Not this check or family.")
@click.option("--passive", is_flag=True, help="Send no pings, load nothing, generate nothing.")
@click.option("--list-checks", is_flag=True, help="List the checks' ids.")
@click.option("--explain", metavar="ID", help="Print what a check looks at, and why.")
@click.option(
    "--log",
    "logs",
    multiple=True,
    metavar="FILE",
    help="Read NCCL's output in this log (- is stdin) instead; may be given for every rank.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Also write a page to send to somebody, with names and secrets masked.",
)
@click.option("--fix", is_flag=True, help="Apply, after asking, what is safe and reversible.")
@click.option("--yes", is_flag=True, help="With --fix: do not ask.")
@click.option("-v", "--verbose", is_flag=True, help="Print what passed as well.")
def doctor(
    *,
    names: tuple[str, ...],
    inventory: Path,
    as_json: bool,
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
    """Find why the fabric is slow or a start fails: the cause, the evidence and the cure.

    Only reads, unless --fix. Exits 3 when a check failed, or when none could be decided on a node.

    With --log neither a cluster nor an inventory is needed: the transport of every rank, why it
    is that one, and what mends it, from NCCL 2.8 or newer under NCCL_DEBUG=INFO. Where a log
    leaves causes open, -i has the nodes decide.
    """
    from sparkctl.cli.context import emit_json

    if list_checks or explain:
        _list([explain] if explain else only, skip, as_json=as_json, entries=bool(explain))
        return
    if logs:
        _refuse({"NODE": names, "--check": only, "--skip": skip, "--passive": passive,
                 "--report": report, "--fix": fix, "--yes": yes})  # fmt: skip
        from sparkctl.cli.doctorlog import diagnose

        named = click.get_current_context().get_parameter_source("inventory")
        diagnose(
            logs,
            None if named is ParameterSource.DEFAULT else partial(_examine, inventory, ()),
            optional=named is ParameterSource.ENVIRONMENT,
            as_json=as_json,
        )
        return
    if report:
        from sparkctl.output.pagefile import check_target

        check_target(report)
    view, findings = _examine(inventory, names, only, skip, passive=passive)
    error = None
    if fix:
        from sparkctl.cli.doctorfix import offer

        changed, error = offer(inventory, names, findings, passive=passive, yes=yes)
        if changed:
            view, findings = _examine(inventory, names, only, skip, passive=passive)
    from sparkctl.doctor.runner import counts, failed, undecided

    if report:
        from sparkctl.cli.doctorreport import report as write

        write(report, view, findings)
    open_nodes = undecided(view, _chosen(only, skip), findings)
    code = _exit_code(error, bad=bool(failed(findings) or open_nodes))
    if as_json:
        document: dict[str, object] = {
            "cluster": view.inventory.cluster,
            "findings": [f.document() for f in findings],
            "counts": counts(findings),
            "undecided": [*open_nodes],
            "imitated": view.inventory.imitated,
        }
        if error:
            from sparkctl.output.failure import document as of_error

            document["error"] = {**of_error(error), "exit_code": code}
        emit_json(document)
    else:
        from sparkctl.output.doctor import print_findings, print_undecided

        print_findings(findings, view.inventory.imitated, verbose=verbose)
        print_undecided(open_nodes)
    if error:
        from sparkctl.output.failure import show

        show(error, as_json=False)
    raise click.exceptions.Exit(code)


def _exit_code(error: SparkctlError | None, *, bad: bool) -> int:
    """Usage counts first, then what the checks say (`bad`), then a change that failed."""
    if error and (error.exit_code == 2 or not bad):
        return error.exit_code
    return 3 if bad else 0


def _list(only: Sequence[str], skip: Sequence[str], *, as_json: bool, entries: bool) -> None:
    """The checks' ids, or with `entries` all that is known of them."""
    from sparkctl.cli.context import emit_json
    from sparkctl.doctor import explain

    checks = _chosen(only, skip)

    if as_json:
        emit_json(
            [
                {"check": c.id, "scope": c.scope, "preflight": c.preflight,
                 **asdict(explain.entries()[c.id])}
                for c in checks
            ]
        )  # fmt: skip
        return
    for check in checks:
        if entries:
            click.echo(explain.explain(check.id))
        else:
            click.echo(f"{check.id:<22} {check.scope:<8} {explain.entries()[check.id].what}")


def _refuse(given: Mapping[str, object]) -> None:
    """Options that a log has no use for are told, not dropped."""
    from sparkctl.errors import UsageError

    if unwanted := [name for name, value in given.items() if value]:
        raise UsageError(
            f"--log takes no {', '.join(unwanted)}",
            hint="run `sparkctl doctor` without --log for what is on the nodes",
        )


def _examine(
    inventory: Path,
    names: Sequence[str],
    only: Sequence[str],
    skip: Sequence[str] = (),
    *,
    passive: bool = False,
) -> tuple[View, list[Finding]]:
    """What was gathered of these nodes, and what these checks say of it."""
    from sparkctl.cli.context import chosen, open_session

    if only or skip:  # a typo is told before any node is asked
        _chosen(only, skip)
    with open_session(inventory, read_only=True, partial=True, meanwhile=_load) as session:
        from sparkctl.doctor.collect import gather
        from sparkctl.doctor.runner import evaluate, pasteable, sources

        checks = _chosen(only, skip)
        view = gather(session, chosen(session.inventory, names), sources(checks), passive=passive)
        named = click.get_current_context().get_parameter_source("inventory")
        given = "" if named is ParameterSource.DEFAULT else str(inventory)
        return view, pasteable(view, evaluate(view, checks), given)


def _chosen(only: Sequence[str], skip: Sequence[str]) -> list[Check]:
    """The checks of these options; to look at nothing and find nothing is refused."""
    from sparkctl.doctor.runner import choose_checks
    from sparkctl.errors import UsageError

    if not (checks := choose_checks(only, skip)):
        raise UsageError(
            "--skip leaves no check", hint="`sparkctl doctor --list-checks` has them by family"
        )
    return checks


def _load() -> None:
    """Import the checks, which takes as long as a login."""
    import_module("sparkctl.doctor.collect")
    import_module("sparkctl.doctor.runner")
