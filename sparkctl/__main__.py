"""`sparkctl` and `python -m sparkctl`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and end with its documented exit code."""
    # A third of all imports, for nothing: paramiko wants invoke for `Match exec`, which ssh itself
    # resolves, and pydantic looks through all that is installed for plugins.
    sys.modules.setdefault("invoke", None)  # type: ignore[arg-type]  # None: there is none
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from sparkctl.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
