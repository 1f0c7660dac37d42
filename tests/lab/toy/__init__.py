"""A toy engine and a toy runtime, and `python -m tests.lab.toy`: sparkctl with both registered."""

from __future__ import annotations

from importlib.util import find_spec

# Whether operations/ works on units (issue 10): before that there are no tables of engines and
# runtimes to register with.
REBUILT = find_spec("sparkctl.engines.table") is not None
