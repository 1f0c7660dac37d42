"""What `doctor` shows on a terminal of each width."""

from __future__ import annotations

import sys

import pytest

from tests.doctorscreen import LONG, SCREENS
from tests.golden import WIDTHS, same_screen

WHOLE = {
    "doctor-healthy": ("105 passed, 10 notes (-v shows them)",),
    "doctor-failures": (LONG, "/sys/class/infiniband/roceP2p1s0f0/ports/1/state"),
    "doctor-unreachable": ("reach.ssh spark-2:",),
    "doctor-verbose": ("fabric.devices spark-1", "roceP2p1s0f0"),
    "doctor-log": ("hca-filter-no-match spark-1, spark-2:", "vllm.engine-wedged:"),
}


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_screen(name: str, columns: int) -> None:
    rows = same_screen(
        name, [sys.executable, "-m", "tests.doctorscreen", name], columns, whole=WHOLE[name]
    )
    assert not [row for row in rows if "or hca-filter-no-match:" in row], "it is the finding itself"
