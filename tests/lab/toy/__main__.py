"""`python -m tests.lab.toy`: sparkctl with the toy's rows, and death at a chosen call (kill.py)."""

from __future__ import annotations

from sparkctl.__main__ import main
from sparkctl.engines.table import ENGINES
from sparkctl.runtimes.table import RUNTIMES
from tests.lab.toy import engine, kill, runtime

if __name__ == "__main__":
    kill.arm()
    ENGINES["toy"] = engine.row()
    RUNTIMES["toy"] = runtime.row()
    main()
