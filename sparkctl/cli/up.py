"""sparkctl up."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import break_lock_option, inventory_option, json_option
from sparkctl.cli.terminal import confirm, interactive

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.session import Session
    from sparkctl.operations.up import Outlook


@click.command()
@inventory_option
@json_option
@click.option("--yes", is_flag=True, help="Restart a model that is served without asking.")
@click.option("--dry-run", is_flag=True, help="Show what would start or restart, and why.")
@break_lock_option
@click.option("--keep", is_flag=True, help="Do not roll back when a step fails.")
@click.option("--accept-new", is_flag=True, help="Record the keys of unknown hosts.")
@click.option(
    "--ignore-check", "ignore", multiple=True, metavar="ID", help="Go on although this check fails."
)
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
    """Start Ray and vLLM, and wait for a real completion.

    Starts only what is missing; a second run changes nothing. Asks before it restarts a model that
    is served because a setting changed; without a terminal --yes is required.
    """
    from sparkctl.cli.context import open_session
    from sparkctl.output.reporter import reporting

    if ignore:
        from sparkctl.doctor.runner import choose_checks

        choose_checks(skip=ignore)  # a typo fails before any node is reached

    def check(session: Session) -> None:
        # Imports all checks, which an `up` with nothing to do does not need.
        from sparkctl.doctor.preflight import preflight, refuse

        refuse(preflight(session, ignore=ignore))

    with reporting() as progress:
        progress.step("connect to the nodes")
        opened = open_session(
            inventory,
            accept_new=accept_new,
            facts=False,
            read_only=dry_run,
            meanwhile=_load,
            waits="hidden",
        )
        with opened as session:
            from sparkctl.operations import up as cluster

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
    from sparkctl.output.up import print_outlook, print_report

    if dry_run:
        print_outlook(found, as_json=as_json)
    else:
        print_report(report, as_json=as_json)


def _load() -> None:
    """Import what `up` needs next, which takes longer than a login."""
    importlib.import_module("sparkctl.operations.up")


def _ask(outlook: Outlook) -> None:
    """Ask whether the model that is served may be stopped.

    Raises UsageError without a terminal, Interrupted when the answer is no.
    """
    from sparkctl.errors import Interrupted, UsageError

    what = f"{outlook.ends} is served and would be restarted"
    if not interactive():
        why = "; ".join(str(change) for change in outlook.difference.changes)
        raise UsageError(
            f"{what}: {why}",
            hint="--yes restarts it without asking; --dry-run shows what would change",
            code="consent-required",
            data={"model": outlook.ends},
        )
    if not confirm(f"{what}. Restart it now?"):
        raise Interrupted("nothing was changed")
