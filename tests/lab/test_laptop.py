"""The real command line on a computer that has only what macOS has, against a real sshd."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from tests.lab.conftest import Sshd

pytestmark = pytest.mark.lab


@pytest.fixture
def laptop(sshd: Sshd, tmp_path: Path) -> Path:
    """A folder with an inventory of one node, this machine, and what makes Python macOS's."""
    ssh = {"user": "root", "port": sshd.port, "identity_file": str(sshd.folder / "client")}
    document = {
        "cluster": "laptop",
        "ssh": {**ssh, "known_hosts": str(sshd.known_hosts)},
        "nodes": [{"name": "spark-1", "host": "127.0.0.1"}],
        "vllm": {"model": "/models/m", "tensor_parallel_size": 1, "executor": "mp"},
    }
    (tmp_path / "inventory.yaml").write_text(yaml.safe_dump(document))
    shutil.copy(Path(__file__).with_name("darwin.py"), tmp_path / "sitecustomize.py")
    return tmp_path


def sparkctl(laptop: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(laptop), *sys.path]),
        "XDG_STATE_HOME": str(laptop / "state"),
        "SSH_AUTH_SOCK": str(laptop / "launchd" / "Listeners"),  # of an agent that has ended
    }
    done = subprocess.run(
        [sys.executable, "-m", "sparkctl", *words],
        cwd=laptop,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "a bug in sparkctl" not in done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_a_laptop_reaches_and_examines_a_node(laptop: Path) -> None:
    check = "import socket, sys; print(sys.platform, hasattr(socket, 'TCP_USER_TIMEOUT'))"
    environment = {**os.environ, "PYTHONPATH": str(laptop)}
    argv = [sys.executable, "-c", check]
    assert subprocess.check_output(argv, env=environment, text=True) == "darwin False\n"
    reached = sparkctl(laptop, "validate", "--connect")
    assert (reached.returncode, reached.stderr) == (0, "")
    status = json.loads(sparkctl(laptop, "status", "--json").stdout)
    assert [node["name"] for node in status["nodes"]] == ["spark-1"]
    assert status["nodes"][0]["error"] is None
    doctor = json.loads(sparkctl(laptop, "doctor", "--passive", "--json").stdout)
    found = {finding["check"]: finding["severity"] for finding in doctor["findings"]}
    assert found["reach.ssh"] == found["reach.facts"] == "OK"
    assert "CRASH" not in found.values()
    assert sparkctl(laptop, "logs", "vllm").stderr.startswith("error: spark-1: no vllm log")


@pytest.mark.parametrize("words", ["up", "status", "ssh spark-1", "down", "faults"])
def test_the_lab_names_what_it_needs(words: str, laptop: Path) -> None:
    done = sparkctl(laptop, "lab", *words.split())
    assert done.returncode == 2
    assert done.stderr.startswith("error: the lab needs Linux and root")
