"""A cluster of the sparkctl before units, in the hands of this one; and the other way round."""

from __future__ import annotations

import json
import signal
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.cluster import Cluster, until
from tests.lab.oldtool import old_package, old_tool
from tests.lab.pending import needs_units

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.lab
STATE = "~/.sparkctl/lab/applied.json"
NEWER = json.dumps({"schema": 99, "units": {"vllm/0/ray/spark-2": {}}})
FILES = "find ~/.sparkctl -type f -exec md5sum {} + -printf '%m %T@\\n'; ls -lid --time=+%s ~/.sparkctl"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return old_package(tmp_path_factory.mktemp("old"))


@pytest.fixture
def old(cluster: Cluster, packages: Path) -> Cluster:
    return old_tool(cluster, packages)


@pytest.fixture(autouse=True)
def clean(cluster: Cluster) -> Iterator[None]:
    assert cluster.traces() == {}
    yield
    cluster.run("down", "--break-lock")
    assert cluster.traces() == {}


def document(cluster: Cluster, *command: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cluster.run(*command, "--json", code=code).stdout)
    return found


def test_the_old_sparkctl_is_another_one(old: Cluster, packages: Path) -> None:
    print_path = "import sparkctl; print(sparkctl.__file__)"
    argv = [*old.program[:2], "-c", print_path]
    seen = subprocess.run(argv, env=dict(old.variables), capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == str(packages / "sparkctl/__init__.py")
