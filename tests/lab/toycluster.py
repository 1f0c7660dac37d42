"""Clusters of the toy engine on the tests' lab."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.lab.cluster import Cluster
from tests.lab.toy import gang
from tests.lab.toy.engine import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.lab.lab import Lab

REPOSITORY = Path(__file__).parents[2]
MAIN = (sys.executable, "-P", "-m", "tests.lab.toy")
FOLDER = PROGRAM.rpartition("/")[0]
PORT = 8100


def with_rows(cluster: Cluster, **variables: str) -> Cluster:
    """The same cluster, run by `python -m tests.lab.toy`."""
    return replace(
        cluster,
        program=MAIN,
        variables={**cluster.variables, "PYTHONPATH": str(REPOSITORY), **variables},
    )


def install(lab: Lab) -> None:
    """Put the engine's program on the nodes."""
    source = Path(gang.__file__).read_text()
    for node in lab.nodes:
        write = f"mkdir -p {FOLDER} && cat > {PROGRAM} <<'SOURCE'\n{source}SOURCE\n"
        Cluster(lab, lab.inventory).on(node.name, f"{write}chmod -R go+rX {FOLDER}")


def remove(lab: Lab) -> None:
    """Take it away again."""
    for node in lab.nodes:
        Cluster(lab, lab.inventory).on(node.name, f"rm -rf {FOLDER}")


def toy_cluster(
    lab: Lab,
    folder: Path,
    number: int = 0,
    runtime: str = "venv",
    executor: str = "gang",
    **variables: str,
) -> Cluster:
    """A cluster of the toy engine, `toyN`, whose ports no other number has."""
    value = yaml.safe_load(lab.inventory.read_text())
    del value["vllm"]
    nodes = [node.name for node in lab.nodes]
    service = {"engine": "toy", "model": gang.MODEL, "port": port(number), "nodes": nodes}
    service["executor"] = executor
    value |= {"cluster": f"toy{number}", "services": {"toy": service}}
    value["runtime"]["kind"] = runtime
    path = folder / f"toy{number}.yaml"
    path.write_text(yaml.safe_dump(value))
    return with_rows(Cluster(lab, path), **variables)


def port(number: int) -> int:
    """The API's port of a cluster of the toy engine; the ranks meet at the next one."""
    return PORT + 10 * number


def ranks(cluster: Cluster, number: int = 0) -> dict[str, list[str]]:
    """The pids of the gang's ranks on each node."""
    end = f"{port(number) + 1} {port(number)}$"
    look = f"pgrep -f '[g]ang.py [01] [0-9.]+ {end}'; true"
    return {node.name: cluster.on(node.name, look).split() for node in cluster.lab.nodes}


def completed(lab: Lab, number: int = 0) -> int:
    """The tokens of a completion that the gang generates."""
    body = json.dumps({"model": gang.MODEL, "prompt": "Hello", "max_tokens": 2}).encode()
    url = f"http://{lab.nodes[0].address}:{port(number)}/v1/completions"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, body), timeout=30) as reply:
        answer: dict[str, Any] = json.load(reply)
    tokens = answer["usage"]["completion_tokens"]
    assert isinstance(tokens, int)
    return tokens


@contextmanager
def unreachable(cluster: Cluster, node: str) -> Iterator[None]:
    """Let a node's sshd listen on another port meanwhile; one session stays to undo that."""
    config, port = "/run/sparkctl-lab/sshd_config", "sed -i '/^Port /d' {0}; {1}kill -HUP {2}"
    pid = "$(cat /run/sparkctl-lab/sshd.pid)"
    away = port.format(config, f"sed -i '1i Port 2222' {config}; ", pid)
    argv = [*cluster.ssh(node), f"{away}; echo; read _; {port.format(config, '', pid)}"]
    address = next(n.address for n in cluster.lab.nodes if n.name == node)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as held:
        assert held.stdout is not None
        held.stdout.readline()
        while _listens(address):
            pass
        try:
            yield
        finally:
            held.communicate(b"\n", timeout=30)
            while not _listens(address):
                pass


def _listens(address: str) -> bool:
    with suppress(OSError), socket.create_connection((address, 22), timeout=5) as connection:
        return bool(connection.recv(3))
    return False


def hold(cluster: Cluster, word: str = "40") -> None:
    """Let rank 0 wait before it serves, so many percent on its way; or `exit`, or `fail`."""
    write = f"echo {word} > {FOLDER}/new && mv {FOLDER}/new {FOLDER}/hold"
    cluster.on(cluster.lab.nodes[0].name, write)


def let_go(cluster: Cluster) -> None:
    """Let it serve."""
    cluster.on(cluster.lab.nodes[0].name, f"rm -f {FOLDER}/hold")
