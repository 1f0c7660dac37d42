"""What is left of containers: removed by their engine, or said to be there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.node import containerend, files, stop

if TYPE_CHECKING:
    from pathlib import Path

UNIT = "m/0/container/a"
MINE, KIN = "1" * 64, "2" * 64


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's home, where a container of docker's is recorded."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=":")
    unit = {"program": {"argv": ["docker", "run"]}}
    entry = {"unit": unit, "run": "r", "phase": "ready"}
    document: Any = {"schema": 2, "id": "1", "cluster": "boxes", "by": {}, "nodes": {}, "older": {}}
    text = json.dumps({**document, "units": {UNIT: entry}})
    files.write({"cluster": "boxes", "files": {"applied.json": text}})
    return tmp_path


def docker(home: Path, script: str) -> None:
    """A program docker that notes its arguments and does this."""
    program = home / "bin/docker"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\necho "$@" >> {home}/asked\n{script}\n')
    program.chmod(0o700)


def test_only_a_container_of_the_clusters_name_is_removed(home: Path) -> None:
    """One of an image that was made of it has the same labels."""
    listed = f"{MINE} sparkctl.boxes.m.0.container.a\\n{KIN} kin\\n"
    docker(home, f"[ $1 = ps ] && printf '{listed}'; true")
    assert containerend.remove("boxes", [UNIT]) == [MINE]
    assert (home / "asked").read_text().splitlines()[1:] == [f"rm --force --volumes {MINE}"]


def test_one_that_somebody_else_removes_meanwhile_is_gone(home: Path) -> None:
    said = f"removal of container {MINE} is already in progress"
    docker(home, f"[ $1 = ps ] && echo {MINE} sparkctl.boxes.x && exit; echo {said} >&2; exit 1")
    assert containerend.remove("boxes", [UNIT]) == [MINE]


def test_the_record_stays_as_long_as_the_engine_does_not_answer(home: Path) -> None:
    docker(home, "echo Cannot connect to the Docker daemon >&2; exit 1")
    with pytest.raises(SystemExit, match=r"cannot remove the cluster's containers: .*daemon"):
        stop.remove({"cluster": "boxes", "temp_dir": str(home / "none")})
    assert (files.home("boxes") / "applied.json").exists()
