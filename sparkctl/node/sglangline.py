"""What SGLang's own parser says of a command line; runs with the runtime's own python."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.node.wire import Answer, Line

LIMIT = 4000  # characters of an error
AFTER = "error: "  # argparse's, before its message


def parse(request: Line) -> Answer:
    """`error`: why SGLang refuses what follows `serve` in `argv`, null where it takes it; without a
    GPU, in 5 seconds (0.5.23).

    The model is not read: what depends on it shows only when SGLang starts.
    """
    with _silent():
        from sglang.srt.server_args import ServerArgs

        parser = argparse.ArgumentParser(prog="sglang serve")
        ServerArgs.add_cli_args(parser)
    argv, printed = list(request["argv"]), io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(io.StringIO()):
            parser.parse_args(argv[argv.index("serve") + 1 :])
    except SystemExit:
        said = printed.getvalue().rpartition(AFTER)[2].strip()
        return {"error": said[:LIMIT] or "it ended without a message"}
    return {"error": None}


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Imports print, also from native code: stdout has the answer alone."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
        sys.stdout.flush()
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
