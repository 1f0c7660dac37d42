"""`sparkctl` and `python -m sparkctl`."""

from __future__ import annotations

import sys

from sparkctl.interrupt import defer


def main() -> None:
    """Run the command line and exit with its documented code."""
    if sys.platform == "win32":  # no fcntl, no SIGHUP
        sys.exit("error: sparkctl does not run on Windows; install and run it in WSL 2")
    defer()  # before the imports of a tenth of a second
    _exit(command())


def command() -> int:
    """Run the command line. Returns the exit code."""
    import gc
    import os

    # Imports make nothing that the collector could free, and it looks through all of it.
    gc.set_threshold(100_000, 50, 50)
    # A third of all imports, for nothing: paramiko wants invoke for `Match exec`, which ssh itself
    # resolves, and pydantic looks through all that is installed for plugins.
    sys.modules.setdefault("invoke", None)  # type: ignore[arg-type]  # None: there is none
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from sparkctl.cli.main import run

    return run(sys.argv[1:])


def _exit(code: int) -> None:
    """Exit without freeing every object, which takes a tenth of a short command's time.

    Where a thread still works, the interpreter waits for it as usual.
    """
    import logging
    import os
    import threading
    from contextlib import suppress

    if all(t.daemon or t is threading.main_thread() for t in threading.enumerate()):
        logging.shutdown()
        with suppress(OSError, ValueError):  # nobody reads any more
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
