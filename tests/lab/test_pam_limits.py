"""The line that doctor says decides is the one that pam_limits itself takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sparkctl.doctor.limits import deciding, value
from sparkctl.facts.hostgroups import LimitFiles
from tests.lab import pamcases

pytestmark = pytest.mark.lab
VALUES = {value.split()[0] for value in pamcases.VALUES}
ROOT = Path(__file__).parents[2]


def login(folder: Path, seed: int) -> list[dict[str, object]]:
    """The cases of a seed, each with what a login had."""
    argv = ["unshare", "--mount", sys.executable, "-m", "tests.lab.pamcases", str(seed)]
    done = subprocess.run(
        [*argv, str(folder)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("seed", [1, 2])
def test_pam_limits_takes_the_same_line(tmp_path: Path, seed: int) -> None:
    found = login(tmp_path, seed)
    decided = 0
    for case in found:
        files = LimitFiles.model_validate(case["facts"])
        lines = deciding(files, pamcases.USER, pamcases.UID)
        limits = [limit // 1024 for line in lines if (limit := value(line)) is not None]
        decided += bool(limits)
        # Without a line it is the limit of this machine, which none of the lines has.
        assert (case["got"] == str(min(limits))) if limits else case["got"] not in VALUES, case
    assert decided > len(found) // 4
    assert len(found) == pamcases.CASES
