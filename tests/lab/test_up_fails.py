"""`up` that fails: its cause is named, and nothing is left."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.lab.cluster import Cluster, failure
from tests.lab.conftest import keygen

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("clean")]
NO_CONNECTION = ("connect-timeout", "host-unreachable")  # by which ends first: the bound, or ARP
STEPS = [
    "check the nodes",
    "write the environment",
    *(
        pytest.param(step, marks=pytest.mark.serving)
        for step in (
            "start Ray head",
            "start Ray worker, vLLM",
            "wait for Ray's node table",
            "wait for vLLM",
        )
    ),
]


def assert_clean(cluster: Cluster) -> None:
    assert cluster.traces() == {}


def test_a_taken_port_is_named_with_its_owner(cluster: Cluster) -> None:
    code = (
        "import socket,time; s=socket.create_server(('',6379)); print(1,flush=True); time.sleep(99)"
    )
    argv = [*cluster.ssh("spark-1"), f'echo $$; exec python3 -c "{code}"']
    holder = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    pid = holder.stdout.readline().strip()
    holder.stdout.readline()
    try:
        failed = cluster.run("up", code=3)
    finally:
        cluster.on("spark-1", f"kill {pid}")
        holder.wait(10)
    # The owner is in the text of the finding, for the user.
    assert f"ports.free spark-1: port 6379 (ray.port) is taken by pid {pid}" in failed.stderr
    assert_clean(cluster)


def test_a_missing_model_is_reported_for_each_node(cluster: Cluster, tmp_path: Path) -> None:
    other = cluster.changed(tmp_path / "i.yaml", vllm={"model": "/models/absent"})
    failed = other.run("up", code=3)
    assert "no recipe: /models/absent/config.json does not exist; set vllm.recipe" in failed.stderr
    for node in ("spark-1", "spark-2"):
        assert f"model.present {node}: " in failed.stderr
    assert_clean(cluster)


def test_a_missing_runtime_is_reported(cluster: Cluster, tmp_path: Path) -> None:
    other = cluster.changed(tmp_path / "i.yaml", runtime={"venv": "/opt/absent"})
    failed = other.error("up", code=3)
    assert failed["code"] == "preflight"
    assert "runtime.present" in failed["data"]["checks"]


def test_a_node_that_is_down_is_reported_and_nothing_starts(
    cluster: Cluster, tmp_path: Path
) -> None:
    head = cluster.lab.nodes[0]
    nobody = f"{head.management_subnet}.250"
    nodes = [
        {"name": "spark-1", "host": head.address, "role": "head"},
        {"name": "spark-2", "host": nobody, "role": "worker"},
    ]
    settings = {"connect_timeout": 1}
    other = cluster.changed(tmp_path / "i.yaml", nodes=nodes, ssh=settings)
    failed = other.error("up")
    assert failed["node"] == "spark-2"
    assert failed["code"] in NO_CONNECTION
    codes = json.loads(other.run("down", "--json", code=1).stdout)["codes"]
    assert [*codes] == ["spark-2"]
    assert codes["spark-2"] in NO_CONNECTION
    status = json.loads(other.run("status", "--json", code=1).stdout)
    codes = {n["name"]: n["code"] for n in status["nodes"]}
    assert codes["spark-1"] is None
    assert codes["spark-2"] in NO_CONNECTION
    assert_clean(cluster)


def test_a_wrong_key_is_reported(cluster: Cluster, tmp_path: Path) -> None:
    keygen(tmp_path / "other")
    other = cluster.changed(tmp_path / "i.yaml", ssh={"identity_file": str(tmp_path / "other")})
    failed = other.run("up", "--json", code=1)
    assert failure(failed.stdout)["code"] == "auth-failed"
    assert failure(failed.stdout)["data"]["nodes"] == ["spark-1", "spark-2"]
    assert "ssh-copy-id" in failed.stderr  # each node's hint


def test_a_changed_host_key_is_fatal(cluster: Cluster, tmp_path: Path) -> None:
    kind, key = keygen(tmp_path / "evil").split()[:2]
    known = tmp_path / "known_hosts"
    known.write_text("".join(f"{n.address} {kind} {key}\n" for n in cluster.lab.nodes))
    other = cluster.changed(tmp_path / "i.yaml", ssh={"known_hosts": str(known)})
    failed = other.error("up", "--accept-new")
    assert failed["code"] == "host-key-changed"
    assert f"at {known}:1)" in failed["message"]  # where the other key stands


def test_another_commands_lock_is_respected(cluster: Cluster) -> None:
    owner = json.dumps({"who": "anna@desk", "when": "2026-01-01", "why": "up", "token": "x"})
    lock = "~/.sparkctl/lab/lock"
    cluster.on("spark-1", f"mkdir -p {lock}; echo '{owner}' > {lock}/owner.json")
    failed = cluster.error("up")
    assert failed["code"] == "locked"
    assert (failed["data"]["who"], failed["data"]["when"]) == ("anna@desk", "2026-01-01")
    assert "--break-lock" in cluster.error("down")["hint"]
    cluster.run("down", "--break-lock")
    assert_clean(cluster)


@pytest.mark.serving
def test_a_vllm_that_dies_at_its_start_shows_its_error(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    arguments = {
        "tool-call-parser": "no_such_parser",
        "max-model-len": 2048,
        "gpu-memory-utilization": 0.2,  # as in the lab's inventory: no check must stop the start
        "kv-cache-dtype": None,
        "attention-backend": None,
    }
    other = cluster.changed(tmp_path / "i.yaml", vllm={"arguments": arguments})
    failed = other.up("--json", code=1)
    error = failure(failed.stdout)
    assert (error["code"], error["node"]) == ("vllm-exited", "spark-1")
    assert "no_such_parser" in error["message"]  # vLLM's own words
    assert "Rolled back." in failed.stderr
    (kept,) = tmp_path.glob("sparkctl/lab-*.vllm.log")
    assert "no_such_parser" in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0
    assert_clean(cluster)


@pytest.mark.parametrize("step", STEPS)
def test_ctrl_c_in_the_middle_leaves_nothing(cluster: Cluster, step: str) -> None:
    process = cluster.start("up")
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if line.rstrip().endswith(f"] {step}"):
            process.send_signal(signal.SIGINT)
            break
    try:
        rest = process.communicate(timeout=120)[1]
    finally:
        process.kill()
    assert process.returncode == 130, "".join(seen) + rest
    if step.startswith(("start", "wait")):
        assert "Rolled back." in rest
    assert rest.rstrip().endswith("interrupted")
    assert_clean(cluster)
