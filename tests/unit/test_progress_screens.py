"""The progress of `up` and `image sync` and the end of a start, as whole screens."""

from __future__ import annotations

import sys

import pytest

from tests.golden import WIDTHS, same_screen
from tests.progressscreens import IMAGE, SCENES

NAMES = {
    "up": ("-i 'clusters/spark pair.yaml'",),
    "failed": ("sparks-1122.spark-1.vllm.log", "`sparkctl down`"),
    "services": ("  large ", "  embeddings  ", "  spark-3 "),
    "image": (IMAGE, "spark-with-a-long-name-4", "spark-2 "),
}


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("scene", SCENES)
def test_the_progress_fits_the_terminal(scene: str, columns: int) -> None:
    argv = [sys.executable, "-m", "tests.progressscreens", scene]
    same_screen(f"up-{scene}", argv, columns, whole=NAMES.get(scene, ()))
