"""Errors: on stderr for people, and as the one JSON document of a command that failed."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

from sparkctl import kept
from sparkctl.errors import Interrupted, InventoryError, ServingError, SparkctlError, UsageError
from sparkctl.output import runlog
from sparkctl.output.stdio import print_as_is, print_err, print_json
from sparkctl.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkctl.operations.scope import Left

log = logging.getLogger(__name__)


def show(error: SparkctlError, *, as_json: bool, debug: bool = False) -> None:
    """Log the error and print it on stderr; with `as_json` also its document on stdout."""
    _log(error, always=debug)
    if isinstance(error, ServingError) and error.log_tail:
        print_err(f"--- the log's last lines{f' on {error.node}' if error.node else ''}")
        print_as_is("\n".join([*error.log_tail, "---"]))
    print_err(_problems(error) if isinstance(error, InventoryError) else f"error: {error}")
    if error.hint:
        print_err(f"hint: {error.hint}")
    if not isinstance(error, Interrupted):
        show_log()
    if as_json:
        emit(error)


def _problems(error: InventoryError) -> str:
    """Its problems, one a line, and how many these are; one of a whole file is the error itself."""
    if [detail.line for detail in error.details] == [None]:
        return f"error: {error}"
    files = list(dict.fromkeys(detail.file for detail in error.details))
    where = files[0] if len(files) == 1 else f"{len(files)} files"
    has = "has" if len(files) == 1 else "have"
    return f"{error}\nerror: {where} {has} {counted(len(error.details), 'problem')}"


def show_one(error: SparkctlError) -> None:
    """Log the error of one of several, and print it on stderr; the others go on."""
    _log(error, always=False)
    print_err(f"error: {error}")
    if error.hint:
        print_err(f"hint: {error.hint}")


def show_left(left: Iterable[Left]) -> None:
    """Print on stderr which services were left alone, why and what to do."""
    for one in left:
        print_err(f"error: {one}")
        print_err(f"hint: {one.hint}")
    show_log()


def show_skipped(error: SparkctlError) -> None:
    """Print on stderr why the nodes of SPARKCTL_INVENTORY were not checked."""
    print_err(f"skipped the checks on the nodes (SPARKCTL_INVENTORY): {error}")


def show_log() -> None:
    """Print on stderr where this run's log is, the last line of a command that failed."""
    if path := runlog.path():
        print_err(f"log: {path}")


def emit(error: SparkctlError) -> None:
    """Print the one document of a command that failed."""
    print_json({"error": document(error)})


def document(error: SparkctlError) -> dict[str, object]:
    """The error as JSON, and the log of this run; part of the contract that scripts rely on."""
    path = runlog.path()
    fields: dict[str, object] = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "node": error.node,
        "exit_code": error.exit_code,
        "data": error.data,
        "log": str(path) if path else None,
    }
    if isinstance(error, InventoryError):
        fields["problems"] = error.problems
        fields["details"] = [detail.document() for detail in error.details]
    if isinstance(error, ServingError):
        fields["log_tail"] = error.log_tail
    return fields


def show_internal(error: BaseException, *, as_json: bool) -> None:
    """A bug in sparkctl: one line, and a file with the traceback to send in."""
    from sparkctl.output.safe import trace

    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.traceback"
    try:
        path = str(kept.write(name, trace(error)))
    except OSError:
        path = "what --debug prints"
    bug = SparkctlError(
        f"a bug in sparkctl: {type(error).__name__}: {error}",
        hint=f"report it with {path}; --debug shows the traceback",
        code="bug",
    )
    bug.__cause__ = error
    show(bug, as_json=as_json)


def show_interrupted(*, as_json: bool) -> int:
    """What Ctrl-C ends with; gives the exit code."""
    error = Interrupted("interrupted")
    if runlog.path():
        log.debug("interrupted", exc_info=True)
    print_err(error.message)
    if as_json:
        emit(error)
    return error.exit_code


def _log(error: SparkctlError, *, always: bool) -> None:
    """A wrong option or inventory makes no log: its message says all."""
    if always or runlog.path() or not isinstance(error, UsageError):
        for line in error.log_tail if isinstance(error, ServingError) else []:
            log.debug("log: %s", line)
        log.debug("failed: %s", error.code, exc_info=error)
        log.debug("hint: %s", error.hint)
