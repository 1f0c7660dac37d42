"""Faults of a cluster that serves."""

from __future__ import annotations

from sparkctl.lab.faults.fault import HEAD, Fault
from sparkctl.lab.faults.target import Target

FAULTS: tuple[Fault, ...] = ()
