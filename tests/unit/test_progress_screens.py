"""The progress of `up` and `image sync` and the end of a start, as whole screens."""

from __future__ import annotations

import sys

import pytest

from tests.golden import WIDTHS, same_screen
from tests.progressscreens import IMAGE, INVENTORY, READ, SCENES

NAMES = {
    "up": (f"'{INVENTORY}'",),
    "failed": ("sparks-1122.spark-1.vllm.log", "`sparkctl down`", READ),
    "refused": ("spark-in-the-second-rack-node-3", "`sudo ip link set enp1s0f0np0 mtu 9000`"),
    "services": ("  large ", "  embeddings  ", "  spark-3 "),
    "image": (IMAGE, "spark-with-a-long-name-4", "spark-2 "),
}


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("scene", SCENES)
def test_the_progress_fits_the_terminal(scene: str, columns: int) -> None:
    argv = [sys.executable, "-m", "tests.progressscreens", scene]
    same_screen(f"up-{scene}", argv, columns, whole=NAMES.get(scene, ()))
