"""The sparkctl before units, as its wheel: what it started and locked must go on working."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab.cluster import Cluster

COMMIT = "acc60b8"  # the last one before units
REPOSITORY = Path(__file__).parents[2]


def old_package(folder: Path) -> Path:
    """A folder with the packages of the old sparkctl's wheel, for PYTHONPATH.

    Raises AssertionError in a clone without that commit.
    """
    archive = subprocess.run(
        ["git", "-C", str(REPOSITORY), "archive", "--format=zip", COMMIT],
        capture_output=True,
        check=False,
    )
    assert archive.returncode == 0, (
        f"commit {COMMIT} is not in this clone: {archive.stderr.decode().strip()};"
        " `git fetch --unshallow` gets it"
    )
    with zipfile.ZipFile(io.BytesIO(archive.stdout)) as source:
        source.extractall(folder / "source")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "-w", str(folder), str(folder / "source")], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "packages")
    return folder / "packages"


def old_tool(cluster: Cluster, packages: Path) -> Cluster:
    """The same cluster, run by the old sparkctl."""
    return replace(
        cluster,
        program=(sys.executable, "-P", "-m", "sparkctl"),
        variables={**cluster.variables, "PYTHONPATH": str(packages)},
    )
