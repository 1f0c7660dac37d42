"""What a node tells of the clusters on it: real processes, files and accounts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.facts.calls import CLUSTERS
from sparkctl.node import clusters, lease
from tests.unit.answers import decoded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.facts.answers import Clusters, HostCluster

NOBODY = 65534


@contextmanager
def program(cluster: str, unit: str, *, uid: int | None = None) -> Iterator[int]:
    """A marked process that lives until the block ends."""
    marks = {
        "SPARKCTL_CLUSTER": f"{cluster}/r1",
        "SPARKCTL_ROLE": "ray",
        "SPARKCTL_UNIT": unit,
    }
    process = subprocess.Popen(
        ["/bin/sh", "-c", "echo; read line"],
        env=marks,
        user=uid,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout
        process.stdout.readline()  # it has its mark and its account
        yield process.pid


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(clusters, "TEMPORARY", tmp_path / "tmp")
    (tmp_path / "tmp").mkdir()
    return tmp_path


def asked() -> Clusters:
    return decoded(CLUSTERS, json.loads(json.dumps(clusters.clusters({}))))


def found(cluster: str) -> HostCluster | None:
    """This cluster; the machine may have others."""
    return next((c for c in asked().clusters if c.name == cluster), None)


def write(home: Path, cluster: str, record: dict[str, Any]) -> Path:
    path = home / ".sparkctl" / cluster / "applied.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    return path


def test_clusters_are_found_by_their_files_and_by_their_processes(places: Path) -> None:
    write(places, "test-there", {"schema": 2})
    with program("test-clusters", "vllm/0/ray/s1") as pid:
        written, running = found("test-there"), found("test-clusters")
    assert written
    assert running
    assert json.loads(written.record or "") == {"schema": 2}
    assert (written.processes, running.record) == ((), None)
    assert [(p.pid, p.unit, p.run) for p in running.processes] == [(pid, "vllm/0/ray/s1", "r1")]


def test_a_name_that_no_cluster_has_is_left_out(places: Path) -> None:
    (places / ".sparkctl/Not a\ncluster").mkdir(parents=True)
    with program("../../etc", "u"):
        assert not {c.name for c in asked().clusters} & {"Not a\ncluster", ".."}


def test_files_that_cannot_be_read_are_said(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(places, "test-there", {})

    def denied(cluster: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(lease, "held", denied)
    one = found("test-there")
    assert one
    assert one.unread == f"{path}: Permission denied"


@pytest.mark.skipif(os.getuid() != 0, reason="only root may start another account's process")
def test_another_accounts_clusters_are_found_by_mark_and_directory(places: Path) -> None:
    folder = places / "tmp/sparkctl-silent"
    folder.mkdir()
    shutil.chown(folder, NOBODY)
    with program("test-other", "u", uid=NOBODY):
        others = {o.cluster: (o.uid, o.processes) for o in asked().others}
    assert (others["test-other"], others["silent"]) == ((NOBODY, 1), (NOBODY, 0))


def test_too_many_are_counted(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "MOST", 2)
    for number in range(5):
        write(places, f"00-test-{number}", {})
    answer = asked()
    assert [c.name for c in answer.clusters] == ["00-test-0", "00-test-1"]
    assert answer.left_out >= 3
