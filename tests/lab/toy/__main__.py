"""`python -m tests.lab.toy`: sparkctl with the toy engine, and death at a chosen call (kill.py).

With SPARKCTL_TEST_RUNTIME=toy everything runs in the toy runtime.
"""

from __future__ import annotations

import os
from importlib import import_module

from sparkctl.__main__ import main
from tests.lab.toy import REBUILT, engine, kill, runtime

if __name__ == "__main__":
    kill.arm()
    if REBUILT:
        import_module("sparkctl.engines.table").ENGINES["toy"] = engine.row()
        if os.environ.get("SPARKCTL_TEST_RUNTIME") == "toy":
            # The inventory has no key for the runtime yet: all is in the row of the venv.
            import_module("sparkctl.runtimes.table").RUNTIMES["venv"] = runtime.row()
    main()
