"""`node install`: a virtual environment on each node, built under the lease, all at once.

What builds it on a node goes on when this command or its connection ends; the next run finds it.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from sparkctl.engines.table import engine_of
from sparkctl.errors import (
    ConnectError,
    LeaseLostError,
    RemoteError,
    RemoteTimeout,
    SparkctlError,
    combined,
)
from sparkctl.events import Doing
from sparkctl.facts.calls import (
    IMPORTS,
    INSTALL_BEGIN,
    INSTALL_ENDED,
    INSTALL_FINISH,
    INSTALL_LOOK,
    TAKE_BACK,
)
from sparkctl.operations.follow import follow
from sparkctl.operations.install.failures import failure
from sparkctl.operations.install.plan import doubts, goal, same_python, step
from sparkctl.operations.lease import hold, settle
from sparkctl.operations.together import Part
from sparkctl.remote.fanout import check_all, each
from sparkctl.secret.text import command_line
from sparkctl.text import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkctl.doubts import Doubt
    from sparkctl.events import Reporter
    from sparkctl.facts.installanswers import Begun
    from sparkctl.inventory.models import Node
    from sparkctl.operations.install.plan import Asked, Goal, Step
    from sparkctl.operations.session import Session

VENV = "venv"  # the kind of runtime
OWNER = "install"  # of the journal's entries
WHY = "node install"
LINE = 200  # characters of a log's line that are shown
AGAIN = "run `sparkctl node install` again: it goes on, or takes it back"
# What a line of pip or uv says of how far they are (pip 23 to 26, uv 0.9).
STAGES = (
    (re.compile(r"Installing collected|Prepared \d|Installed \d"), "installing"),
    (re.compile(r"Collecting |Downloading |Resolved \d|Processing "), "downloading"),
)


@dataclass(frozen=True)
class Done:
    """What was done on a node; `log` is there where something was installed."""

    action: Literal["unchanged", "installed", "replaced"]
    venv: str
    python: str
    versions: Mapping[str, str]
    log: str | None = None


@dataclass(frozen=True)
class Report:
    """What was done, by node."""

    cluster: str
    nodes: Mapping[str, Done]
    doubts: tuple[Doubt, ...] = ()


def install(
    session: Session,
    nodes: Sequence[Node],
    asked: Asked,
    reporter: Reporter,
    *,
    consent: Callable[[Sequence[Step]], None],
    force: bool = False,
) -> Report:
    """Install the packages of each node's engine in `runtime.venv` there.

    Everything is read under the lease. `consent` is called before a virtual environment is
    replaced. A node that fails is taken back, the others are completed; Ctrl-C takes back what is
    not complete. Raises what `consent` raises, LockedError, and the nodes' errors.
    """
    goals = [g for node in nodes if (g := _goal(session, node, asked))]
    if not goals:
        raise SparkctlError(
            "no service of these nodes has an engine in a virtual environment",
            hint="`sparkctl validate` shows the services; a container's image has its packages",
            code="nothing-to-install",
        )
    if errors := {n.name: e for n in nodes if (e := session.pool.errors.get(n.name))}:
        raise combined(errors, "cannot be reached")
    with hold(session, reporter.note, WHY, [g.node for g in goals], force=force):
        reporter.step("look at what is installed")
        looks = each(goals, partial(_examine, session, asked, reporter), key=lambda g: g.node.name)
        steps = same_python([*check_all(looks).values()])
        if replaced := [s for s in steps if s.action == "replace"]:
            reporter.end()
            consent(replaced)
        found = doubts(steps)
        for doubt in found:
            reporter.note(f"warning: {doubt}")
        done = _carry_out(session, steps, asked, reporter)
        return Report(session.inventory.cluster, done, found)


def _goal(session: Session, node: Node, asked: Asked) -> Goal | None:
    view = session.inventory.view_for(node)
    if view.runtime.name != VENV:
        return None
    unit = f"{view.service}/0/{OWNER}/{node.name}"
    return goal(node, unit, view.runtime.venv, engine_of(view.vllm).judged, asked)


def _examine(session: Session, asked: Asked, reporter: Reporter, aim: Goal) -> Step:
    request = {
        "venv": aim.venv,
        "program": asked.program,
        "packages": [*aim.versions],
    }
    looked = session.ask(aim.node, INSTALL_LOOK, request, title="look at the installation")
    found = step(aim, looked, asked, {})
    if found.action != "keep":
        return found
    reporter.part(aim.node.name, Doing(f"importing {', '.join(aim.modules)}"))
    return step(aim, looked, asked, _broken(session, aim, f"{looked.path}/bin/python"))


def _broken(session: Session, aim: Goal, python: str) -> dict[str, str]:
    """Why modules cannot be imported, by module."""
    modules = [*aim.modules]
    title = f"importing {', '.join(modules)}"
    found = session.ask(aim.node, IMPORTS, {"modules": modules}, title=title, python=python)
    absent = "its import was not tried"
    return {
        m: command_line(error, LINE)
        for m in modules
        if (error := found[m].error if m in found else absent)
    }


def _carry_out(
    session: Session, steps: Sequence[Step], asked: Asked, reporter: Reporter
) -> dict[str, Done]:
    run = time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(2)
    over, lock = threading.Event(), threading.Lock()
    part = Part("", reporter, over, lock)
    work = partial(_do, session, asked, part, run)
    if any(s.action != "keep" for s in steps):
        reporter.step("install the packages")
    try:
        return check_all(each(steps, work, key=lambda s: s.goal.node.name))
    except KeyboardInterrupt:
        with lock:
            over.set()  # what goes on in the threads is no part of the rollback
        reporter.end("interrupted")
        session.hurry()
        changed = [s.goal.node for s in steps if s.action != "keep"]
        _roll_back(session, changed, reporter)
        raise


def _roll_back(session: Session, nodes: Sequence[Node], reporter: Reporter) -> None:
    late = session.pool.changing()
    reporter.step("roll back")
    try:
        # What Ctrl-C interrupted on its way to a node may arrive after the first time.
        for again in (False, True):
            if not again or settle(late):
                _all_taken_back(session, nodes, reporter)
    except KeyboardInterrupt:
        reporter.end("interrupted")
        reporter.note(f"Rollback interrupted. To clean up, {AGAIN}.")
        raise
    reporter.end()
    reporter.note("Rolled back.")


def _all_taken_back(session: Session, nodes: Sequence[Node], reporter: Reporter) -> None:
    found = each(nodes, partial(_take_back, session), key=lambda node: node.name)
    if found.failed:
        reporter.end("failed")
    for name, error in found.failed.items():
        reporter.note(f"rollback failed: {name}: {error.message}; {AGAIN}")


def _take_back(session: Session, node: Node) -> None:
    """Take back what is not complete on a node. Raises RemoteError."""
    request = {"owner": OWNER, "unfinished": True}
    answer = session.ask(node, TAKE_BACK, request, title="take back the installation")
    for entry in answer.failed:
        raise RemoteError(
            f"not taken back: {entry.error}", node=node.name, hint=AGAIN, code="not-taken-back"
        )


def _do(session: Session, asked: Asked, reporter: Reporter, run: str, planned: Step) -> Done:
    aim, looked = planned.goal, planned.looked
    name, versions = aim.node.name, {**aim.versions}
    if planned.action == "keep":
        if looked.left:  # next to the one that is whole
            _take_back(session, aim.node)
        reporter.ended(name, "unchanged")
        there = {package: looked.versions[package] for package in versions}
        return Done("unchanged", looked.path, looked.python or "", there)
    try:
        log = _build(session, asked, reporter, run, planned)
    except SparkctlError as error:
        reporter.ended(name, error.message, "failed")
        raise
    action: Literal["replaced", "installed"] = (
        "replaced" if planned.action == "replace" else "installed"
    )
    reporter.ended(name, action)
    return Done(action, looked.path, looked.base_python or "", versions, log)


def _build(session: Session, asked: Asked, reporter: Reporter, run: str, planned: Step) -> str:
    """Build it on a node and move it to its path. Returns the path of its log.

    Raises RemoteError; what was built is taken back, unless the node is no longer reached.
    """
    aim = planned.goal
    reporter.part(aim.node.name, Doing("creating the virtual environment"))
    request = aim.request(asked, planned.looked, run)
    begun = session.ask(aim.node, INSTALL_BEGIN, request, title="begin the installation")
    if begun.other is not None:
        raise RemoteError(
            f"cluster {begun.other} is installing {planned.looked.path}",
            node=aim.node.name,
            hint="wait for it, or set runtime.venv to another path",
            code="install-under-way",
            data={"cluster": begun.other, "path": planned.looked.path},
        )
    try:
        _watch(session, aim.node, begun, reporter)
        where = {"venv": planned.looked.path, "run": begun.run}
        _require_built(session, aim, begun, where, reporter)
        return session.ask(aim.node, INSTALL_FINISH, where, title="move it to its path").log
    except (ConnectError, RemoteTimeout) as error:
        error.hint = f"{error.hint}; {AGAIN}" if error.hint else AGAIN
        raise
    except LeaseLostError:
        raise
    except SparkctlError as error:
        try:
            _take_back(session, aim.node)
        except SparkctlError as second:
            reporter.note(f"rollback failed: {second}; {AGAIN}")
        raise error from None


def _watch(session: Session, node: Node, begun: Begun, reporter: Reporter) -> None:
    """Show the log until what writes it has ended."""
    if begun.pid is None:
        return
    request = {"path": begun.log, "offset": 0, "pid": begun.pid, "started": begun.started}
    stage, rest = "creating the virtual environment", ""
    with closing(follow(session, node, request, title="follow the installation")) as events:
        for event in events:
            if event is None:
                continue
            if event.exited is not None:
                return
            *lines, rest = (rest + plain(event.text or "")).split("\n")
            for line in filter(None, map(str.strip, lines)):
                found = (s for pattern, s in STAGES if pattern.search(line))
                stage = next(found, stage)
                reporter.part(node.name, Doing(stage, detail=command_line(line, LINE)))


def _require_built(
    session: Session, aim: Goal, begun: Begun, where: dict[str, str], reporter: Reporter
) -> None:
    """Raise RemoteError unless it was built, and its modules can be imported."""
    name = aim.node.name
    built = session.ask(aim.node, INSTALL_ENDED, where, title="look how the installation ended")
    if built.status != 0:
        raise failure(name, begun.log, built)
    reporter.part(name, Doing(f"importing {', '.join(aim.modules)}"))
    for module, error in _broken(session, aim, f"{begun.new}/bin/python").items():
        raise RemoteError(
            f"{module} was installed and cannot be imported: {error}",
            node=name,
            hint="name versions that fit together and this node with --vllm, --ray, --torch",
            code="install-import-failed",
            data={"module": module, "log": begun.log},
        )
