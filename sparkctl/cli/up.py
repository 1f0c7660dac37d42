"""sparkctl up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import inventory_option, json_option
from sparkctl.cli.terminal import interactive

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.cluster.session import Session
    from sparkctl.cluster.up import Outlook


@click.command()
@inventory_option
@json_option
@click.option("--yes", is_flag=True, help="Restart a model that is served without asking.")
@click.option("--dry-run", is_flag=True, help="Show what would start or restart, and why.")
@click.option("--break-lock", is_flag=True, help="Go on although another command holds the lease.")
@click.option("--keep", is_flag=True, help="Leave what was started when a step fails.")
@click.option("--accept-new", is_flag=True, help="Record the keys of hosts never seen before.")
@click.option("--ignore-check", "ignore", multiple=True, metavar="ID", help="Go on in spite of it.")
def up(
    *,
    inventory: Path,
    as_json: bool,
    yes: bool,
    dry_run: bool,
    break_lock: bool,
    keep: bool,
    accept_new: bool,
    ignore: tuple[str, ...],
) -> None:
    """Start Ray and vLLM, until a real completion comes back.

    A second run changes nothing; after a failure of a part, only what is missing is started.
    Before it stops a model that is served, because a setting changed, it asks; without a terminal
    --yes is required.
    """
    from dataclasses import asdict

    from sparkctl.cli.context import emit_json, open_session
    from sparkctl.cluster import up as cluster
    from sparkctl.doctor.preflight import preflight, refuse
    from sparkctl.doctor.runner import choose_checks
    from sparkctl.output.reporter import reporting

    choose_checks(skip=ignore)  # a typo is reported before any node is reached

    def check(session: Session) -> None:
        refuse(preflight(session, ignore=ignore))

    with reporting() as progress:
        progress.step("connect to the nodes")
        opened = open_session(
            inventory, accept_new=accept_new, facts=False, read_only=dry_run, waits="hidden"
        )
        with opened as session:
            if dry_run:
                found = cluster.outlook(session, progress)
            else:
                report = cluster.up(
                    session,
                    progress,
                    preflight=check,
                    consent=lambda outlook: None if yes else _ask(outlook),
                    keep=keep,
                    break_lock=break_lock,
                )
    if dry_run:
        _print_outlook(found, as_json=as_json)
        return
    if as_json:
        texts = [str(doubt) for doubt in report.doubts]
        emit_json({"changed": bool(report.changes), **asdict(report), "warnings": texts})
    elif report.changes:
        click.echo(f"{report.model} is served at {report.endpoint}")
    else:
        click.echo(f"no changes: {report.model} is served at {report.endpoint}")


def _ask(outlook: Outlook) -> None:
    """Have somebody agree that the model that is served is stopped.

    Raises UsageError without a terminal, Interrupted when the answer is no.
    """
    from sparkctl.errors import Interrupted, UsageError

    what = f"{outlook.ends} is served and would be restarted"
    if not interactive():
        why = "; ".join(str(change) for change in outlook.difference.changes)
        raise UsageError(
            f"{what}: {why}",
            hint="--yes restarts it without asking; --dry-run shows what would change",
        )
    if not click.confirm(f"{what}. Restart it now?", err=True):
        raise Interrupted("nothing was changed")


def _print_outlook(found: Outlook, *, as_json: bool) -> None:
    from dataclasses import asdict

    from sparkctl.cli.context import emit_json

    if as_json:
        changes = [asdict(change) for change in found.difference.changes]
        emit_json(
            {
                "cluster": found.wish.inventory.cluster,
                "changes": changes,
                "ends": found.ends,
                "warnings": [str(doubt) for doubt in found.doubts],
                "doubts": [doubt.document() for doubt in found.doubts],
            }
        )
        return
    for change in found.difference.changes:
        click.echo(f"would {change}")
    if found.ends:
        click.echo(f"{found.ends} is served; it would be stopped and started again")
    if not found.difference:
        click.echo("no changes")
