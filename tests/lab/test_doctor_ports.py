"""The doctor over other sshds: two nodes on one host, a port that is taken, and a node that answers
with {}.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sparkctl.engines.inventory import load
from sparkctl.remote.hostkeys import recorded
from sparkctl.remote.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.lab.conftest import Sshd

pytestmark = [pytest.mark.lab]


def inventory(path: Path, *sshds: Sshd, **ssh: str) -> Path:
    """An inventory of these sshds, all on 127.0.0.1, each with its port and key."""
    nodes = []
    for i, sshd in enumerate(sshds, 1):
        login = {"port": sshd.port, "identity_file": str(sshd.folder / "client")}
        role = "worker" if i > 1 else "head"
        nodes.append({"name": f"spark-{i}", "host": "127.0.0.1", "role": role, "ssh": login})
    common = {"user": "root", "connect_timeout": 3.0, **ssh}
    vllm = {"model": "/m", "tensor_parallel_size": len(nodes)}
    path.write_text(
        yaml.safe_dump({"cluster": "ports", "ssh": common, "nodes": nodes, "vllm": vllm})
    )
    return path


def doctor(path: Path, *options: str) -> tuple[int, dict[str, Any]]:
    argv = [sys.executable, "-m", "sparkctl", "doctor", "-i", str(path), "--json", *options]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, json.loads(done.stdout)


def two_nodes(make_sshd: Callable[..., Sshd], folder: Path) -> Path:
    """An inventory of two sshds of this machine, with the keys of both known."""
    one, two = make_sshd("one"), make_sshd("two")
    both = folder / "known_hosts"
    both.write_text(one.known_hosts.read_text() + two.known_hosts.read_text())
    return inventory(folder / "i.yaml", one, two, known_hosts=str(both))


def test_two_nodes_on_one_host_are_distinguished_by_their_ports(
    make_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    path = two_nodes(make_sshd, tmp_path)
    code, document = doctor(path, "--passive", "--check", "reach.ssh", "--check", "host.platform")
    found = {(f["check"], f["severity"], f["node"]) for f in document["findings"]}
    of_each = (("reach.ssh", "OK"), ("host.platform", "INFO"))
    assert found == {(*check, f"spark-{i}") for i in (1, 2) for check in of_each}
    assert (code, document["undecided"]) == (0, [])


def test_each_ports_key_is_checked_and_recorded_by_itself(
    make_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    one, two = make_sshd("one"), make_sshd("two")
    known = tmp_path / "known_hosts"
    settings = {"known_hosts": str(known), "host_keys": "accept-new"}
    accept = inventory(tmp_path / "a.yaml", one, two, **settings)
    with Pool(load(accept), read_only=True) as pool:
        assert pool.errors == {}
    for sshd in (one, two):  # a system's ssh_config may have the names hashed
        (line,) = recorded([str(known)], f"[127.0.0.1]:{sshd.port}")
        assert line.key.get_base64() in sshd.known_hosts.read_text()
    # The first's key for the second's port is a changed key.
    key = one.known_hosts.read_text().split(" ", 1)[1]
    known.write_text(one.known_hosts.read_text() + f"[127.0.0.1]:{two.port} {key}")
    with Pool(load(accept), read_only=True) as pool:
        assert [*pool.errors] == ["spark-2"]
        assert pool.errors["spark-2"].code == "host-key-changed"


def test_the_port_where_the_ranks_meet_is_looked_at(
    make_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    path = two_nodes(make_sshd, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = yaml.safe_load(path.read_text())
        settings["vllm"] |= {"executor": "mp", "arguments": {"master-port": port}}
        path.write_text(yaml.safe_dump(settings))
        code, document = doctor(path, "--passive", "--check", "ports.free")
    found = {f["node"]: (f["severity"], f["data"].get("setting")) for f in document["findings"]}
    assert (code, found["spark-1"]) == (3, ("FAIL", "vllm.arguments.master-port"))
    assert found["spark-2"][0] == "OK"


@pytest.mark.parametrize("options", [("--passive",), ("--passive", "--check", "host")])
def test_a_node_that_answers_with_an_empty_object_ends_with_3(
    options: tuple[str, ...], sshd: Sshd, tmp_path: Path
) -> None:
    key = (sshd.folder / "authorized").read_text()
    (sshd.folder / "authorized").write_text(f"command=\"cat >/dev/null; echo '{{}}'\" {key}")
    path = inventory(tmp_path / "i.yaml", sshd, known_hosts=str(sshd.known_hosts))
    code, document = doctor(path, *options)
    assert code == 3
    assert document["undecided"] == ["spark-1"]
