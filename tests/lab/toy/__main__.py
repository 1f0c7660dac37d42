"""`python -m tests.lab.toy`: sparkctl with the toy's rows, and death at a chosen call (kill.py).

SPARKCTL_TEST_LEASE: seconds that a lease holds. SPARKCTL_TEST_STILL: seconds without an engine step
until `up` restarts it.
"""

from __future__ import annotations

import os

from sparkctl.__main__ import main
from sparkctl.engines.table import ENGINES
from sparkctl.operations import health, lease
from sparkctl.runtimes.table import RUNTIMES
from tests.lab.toy import engine, kill, runtime

if __name__ == "__main__":
    kill.arm()
    if seconds := os.environ.get("SPARKCTL_TEST_LEASE"):
        lease.SECONDS = float(seconds)
        lease.INTERVAL = lease.SECONDS / 3
    if seconds := os.environ.get("SPARKCTL_TEST_STILL"):
        health.RESTART = float(seconds)
    ENGINES["toy"] = engine.row()
    RUNTIMES["toy"] = runtime.row()
    main()
