"""sparkctl support-bundle."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from sparkctl.cli.options import inventory_option, json_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.events import Reporter
    from sparkctl.operations.session import Session
    from sparkctl.operations.status import Status
    from sparkctl.output.bundle.contents import Gathered

T = TypeVar("T")

log = logging.getLogger(__name__)


@click.command("support-bundle")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@inventory_option
@json_option
@click.option(
    "--passive",
    is_flag=True,
    help="Send no ping, load no library, start no container, generate no token.",
)
def support_bundle(file: Path | None, inventory: Path, *, as_json: bool, passive: bool) -> None:
    """Collect logs, facts, plan, journals and doctor's findings in one file to send.

    Writes FILE, a zip file of text files; without FILE one with the cluster's name and the time, in
    this folder. Never replaces a file. Changes nothing on the nodes. Secrets, user names, host
    names and public addresses are masked; read it before you send it.

    Exits 1 when a node could not be read; the bundle is written all the same and names it.

    \b
    Examples:
      # Write the bundle into this folder
      sparkctl support-bundle
      # Send no ping and generate no token
      sparkctl support-bundle --passive trouble.zip
    """
    from sparkctl.cli.context import open_session
    from sparkctl.output.bundle.contents import named, write_bundle
    from sparkctl.output.bundle.file import check_new
    from sparkctl.output.bundle.printed import print_bundle
    from sparkctl.output.progress.reporter import reporting

    now = time.time()
    path = file or Path(f"{named(_cluster(inventory), now)}.zip")
    check_new(path)
    with reporting() as progress:
        opened = open_session(inventory, read_only=True, partial=True, reporter=progress)
        with opened as session:
            found = _gathered(session, progress, passive=passive)
        progress.step("write the bundle")
        write_bundle(path, found, now)
    print_bundle(path, found, as_json=as_json)
    if found.failed:
        raise click.exceptions.Exit(1)


def _cluster(inventory: Path) -> str:
    """The cluster's name. Raises InventoryError for an invalid inventory or layer, which has to be
    mended first.
    """
    from sparkctl.engines.inventory import load
    from sparkctl.errors import InventoryError
    from sparkctl.inventory.layers import load_layers

    try:
        loaded = load(inventory)
        load_layers(loaded, inventory.parent)
    except InventoryError as error:
        error.hint = f"correct it first, `sparkctl validate` checks it; {error.hint}"
        raise
    return loaded.cluster


def _gathered(session: Session, progress: Reporter, *, passive: bool) -> Gathered:
    """All that the bundle is made of; what fails is left out, and the rest goes on."""
    from sparkctl.doctor.collect import collect
    from sparkctl.doctor.forecast import forecast
    from sparkctl.doctor.runner import choose_checks, evaluate, sources, undecided
    from sparkctl.doctor.unreached import gathered
    from sparkctl.operations.status import status
    from sparkctl.operations.support.nodes import read
    from sparkctl.output.bundle.contents import Gathered

    left_out: dict[str, str] = {}
    nodes = session.inventory.nodes
    shown: list[Status | None] = []
    progress.step("read the logs, the journals and what runs")
    sides = read(
        session,
        lambda: shown.append(_tried("status.json", lambda: status(session), left_out)),
    )
    progress.step("check the nodes")
    checks = choose_checks()
    taken = _tried(
        "doctor's looks at the nodes",
        lambda: collect(session, nodes, sources(checks), passive=passive),
        left_out,
    )
    snapshot = taken or collect(session, nodes, (), passive=True)
    findings = gathered(evaluate(snapshot, checks))
    progress.step("make the plan")
    planned = _tried("plan", lambda: forecast(session), left_out)
    return Gathered(
        snapshot=snapshot,
        findings=findings,
        undecided=undecided(snapshot, checks, findings),
        status=shown[0],
        forecast=planned,
        sides=sides.ok,
        failed={**session.pool.errors, **sides.failed, **session.unread},
        left_out=left_out,
    )


def _tried(what: str, work: Callable[[], T], left_out: dict[str, str]) -> T | None:
    """What `work` gives; where it fails, also by a bug, that is noted and logged instead."""
    from sparkctl.errors import SparkctlError

    try:
        return work()
    except SparkctlError as error:
        log.debug("%s is left out", what, exc_info=error)
        left_out[what] = str(error).split("\n")[0].rstrip(":")  # the nodes' errors are named
    except Exception as error:
        log.debug("a bug: %s is left out", what, exc_info=error)
        left_out[what] = f"a bug in sparkctl ({type(error).__name__}); its log is in controller/"
    return None
