"""support-bundle where nothing works: there is a bundle all the same, or a clear error."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

from sparkctl import kept
from tests.cli.test_cli import sparkctl
from tests.unit.doctorview import INVENTORY

if TYPE_CHECKING:
    from pathlib import Path


def test_without_a_node_it_has_this_machines_side(tmp_path: Path) -> None:
    away = INVENTORY.replace("10.77.0.1", "127.0.0.") + "ssh: {port: 1}\n"
    (tmp_path / "inventory.yaml").write_text(away)
    other = away.replace("spark-", "secret-project-").replace("127.0.0.1", "127.0.0.9")
    (tmp_path / "other.yaml").write_text(other)
    assert sparkctl("status", "-i", "other.yaml", cwd=tmp_path).returncode == 1
    assert sparkctl("down", cwd=tmp_path).returncode == 1
    for number in range(kept.LAST):  # runs of `status`
        kept.write(f"{number}.run.log", "")

    done = sparkctl("support-bundle", "--json", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert {*document} == {"path", "bytes", "nodes", "failed", "left_out"}
    assert document["nodes"] == []
    codes = {one["node"]: one["code"] for one in document["failed"]}
    assert codes == dict.fromkeys(("spark-1", "spark-2"), "connect-refused")
    (path,) = tmp_path.glob("sparkctl-support-lab-*-*.zip")
    assert (str(path.name), path.stat().st_size) == (document["path"], document["bytes"])
    with zipfile.ZipFile(path) as inner:
        names = {name.partition("/")[2] for name in inner.namelist()}
        texts = [inner.read(n).decode() for n in inner.namelist()]
    (readme,) = [text for text in texts if text.startswith("Support bundle")]
    assert {"doctor.html", "doctor.json", "inventory.json", "controller/versions.json"} <= names
    assert any(name.endswith(".run.log") for name in names), "this run's too"
    assert any(name.endswith(".change.log") for name in names), "the last that changes nodes"
    assert "spark-1: not read (connect-refused)" in readme
    assert not [text for text in texts if "secret-project" in text], "a run of another inventory"
    assert max(map(len, readme.splitlines())) <= 80

    done = sparkctl("support-bundle", path.name, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "it exists" in done.stderr


def test_an_invalid_inventory_or_layer_is_to_be_corrected_first(tmp_path: Path) -> None:
    for text in ("cluster: 1\n", INVENTORY + "env: {layers: [none.env]}\n"):
        (tmp_path / "inventory.yaml").write_text(text)
        done = sparkctl("support-bundle", "--json", cwd=tmp_path)
        assert done.returncode == 2
        error = json.loads(done.stdout)["error"]
        assert error["code"] == "inventory"
        assert "`sparkctl validate`" in error["hint"]
    assert [path.name for path in tmp_path.iterdir()] == ["inventory.yaml"]


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        away = INVENTORY.replace("10.77.0.1", "127.0.0.") + f"ssh: {{port: {port}}}\n"
        (tmp_path / "inventory.yaml").write_text(away)
        command = [sys.executable, "-m", "sparkctl", "support-bundle"]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as started:
            assert started.stderr is not None
            assert "connect to the nodes" in started.stderr.readline()
            silent.accept()
            started.send_signal(signal.SIGINT)
            assert "interrupted" in started.stderr.read()
        assert started.returncode == 130
    assert [path.name for path in tmp_path.iterdir()] == ["inventory.yaml"]
