"""How an error is shown: what was wanted and found, the log's tail, and what to do next."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback

from sparkctl import kept
from sparkctl.errors import InventoryError, ServingError, SparkctlError


def show(error: SparkctlError, *, as_json: bool) -> None:
    """On stderr for people; with `as_json` also as the one document on stdout."""
    if isinstance(error, ServingError) and error.log_tail:
        where = f" on {error.node}" if error.node else ""
        print(f"--- the log's last lines{where}", file=sys.stderr)
        print("\n".join(error.log_tail), file=sys.stderr)
        print("---", file=sys.stderr)
    prefix = "" if isinstance(error, InventoryError) else "error: "
    print(f"{prefix}{error}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    if as_json:
        emit(error)


def emit(error: SparkctlError) -> None:
    """The one document on stdout of a command that failed."""
    print(json.dumps({"error": document(error)}, indent=2))


def document(error: SparkctlError) -> dict[str, object]:
    """The error as JSON: message, hint, node, exit_code, and what the kind of error adds."""
    fields: dict[str, object] = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "node": error.node,
        "exit_code": error.exit_code,
        "data": error.data,
    }
    if isinstance(error, InventoryError):
        fields["problems"] = error.problems
        fields["details"] = [detail.document() for detail in error.details]
    if isinstance(error, ServingError):
        fields["log_tail"] = error.log_tail
    return fields


def show_internal(error: Exception, *, as_json: bool) -> None:
    """A bug of ours: one line, and a file with the traceback to send in."""
    trace = "".join(traceback.format_exception(error))
    try:
        path = str(kept.write(f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.traceback", trace))
    except OSError:
        path = "what --debug prints"
    show(
        SparkctlError(
            f"a bug in sparkctl: {type(error).__name__}: {error}",
            hint=f"report it with {path}; --debug shows the traceback",
        ),
        as_json=as_json,
    )
