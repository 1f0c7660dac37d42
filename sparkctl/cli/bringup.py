"""What `up` and `restart` share: their options, what they ask, and the run itself."""

from __future__ import annotations

import time
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

import click

from sparkctl.cli.options import break_lock_option
from sparkctl.cli.terminal import confirm, interactive

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sparkctl.events import Reporter
    from sparkctl.operations.outlook import Outlook
    from sparkctl.operations.session import Session
    from sparkctl.operations.up import UpReport

F = TypeVar("F", bound="Callable[..., object]")
OPTIONS = (
    click.option("--yes", is_flag=True, help="Restart a model that is served without asking."),
    click.option(
        "--detach", is_flag=True, help="Return when all is started, without waiting for the model."
    ),
    break_lock_option,
    click.option("--keep", is_flag=True, help="Do not roll back when a step fails."),
    click.option("--accept-new", is_flag=True, help="Record the keys of unknown hosts."),
    click.option(
        "--ignore-check",
        "ignore",
        multiple=True,
        metavar="ID",
        help="Go on although this check fails.",
    ),
)
# How --help groups them.
SECTIONS = {
    "Starting": ("dry_run", "detach", "keep", "ignore"),
    "Consent": ("yes", "break_lock", "accept_new"),
}
SHOWS = "; --dry-run shows what would change"


def start_options(command: F) -> F:
    """The options of a command that starts units."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def bring_up(
    inventory: Path,
    *,
    yes: bool,
    detach: bool,
    break_lock: bool,
    keep: bool,
    accept_new: bool,
    ignore: tuple[str, ...],
    restart: Sequence[str] = (),
) -> UpReport:
    """Connect, and bring the cluster up; `restart` are services to replace.

    Raises what operations.up raises, UsageError for an unknown check, Interrupted for a no.
    """
    from sparkctl.cli.context import open_session
    from sparkctl.output.progress.reporter import reporting

    if ignore:
        from sparkctl.doctor.runner import choose_checks

        choose_checks(skip=ignore)  # a typo fails before any node is reached

    def check(session: Session) -> None:
        # Imports all checks, which an `up` with nothing to do does not need.
        from sparkctl.doctor.preflight import preflight, refuse

        refuse(preflight(session, ignore=ignore))

    begin = time.monotonic()
    with reporting() as progress:
        opened = open_session(
            inventory,
            partial=True,
            accept_new=accept_new,
            facts=False,
            meanwhile=_load,
            reporter=progress,
        )
        with opened as session:
            from sparkctl.operations.up import up

            report = up(
                session,
                progress,
                preflight=check,
                consent=lambda outlook: ask(outlook, dry_run=not restart),
                asks=not yes,
                keep=keep,
                break_lock=break_lock,
                detach=detach,
                leave=lambda: leave(progress),
                restart=restart,
            )
            return replace(report, total=time.monotonic() - begin)


def _load() -> None:
    """Import what comes next, which takes longer than a login."""
    import_module("sparkctl.operations.up")


def ask(outlook: Outlook, *, dry_run: bool = True) -> None:
    """Ask whether the models that are served may be stopped.

    `dry_run`: whether the command has --dry-run. Raises UsageError without a terminal, Interrupted
    when the answer is no.
    """
    from sparkctl.errors import Interrupted, UsageError

    models = ", ".join(outlook.served)
    restarts = any(change.action == "restart" for change in outlook.plan.changes)
    verb, done = ("restart", "restarted") if restarts else ("stop", "stopped")
    what = f"{models} {'is' if len(outlook.ends) == 1 else 'are'} served and would be {done}"
    if not interactive():
        why = "; ".join(str(change) for change in outlook.plan.changes)
        raise UsageError(
            f"{what}: {why}",
            hint=f"--yes {verb}s without asking" + SHOWS * dry_run,
            code="consent-required",
            data={"model": ", ".join(outlook.ends), "models": list(outlook.ends)},
        )
    if not confirm(f"{what}. {verb.capitalize()} now?"):
        raise Interrupted("nothing was changed")


def leave(progress: Reporter) -> bool:
    """Ask after Ctrl-C whether the start goes on; without a terminal it does not."""
    if not interactive():
        return False
    progress.note("What was started goes on without this command, or is stopped and rolled back.")
    try:
        return confirm("Leave it running?")
    except (click.Abort, KeyboardInterrupt):  # a second Ctrl-C
        return False
