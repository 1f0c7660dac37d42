"""A real sshd on loopback with its own keys, and the lab that the tests share."""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.cli.lab import cache_folder
from sparkctl.inventory.models import Ssh
from sparkctl.lab import lab as labs
from sparkctl.lab.faults import engine, settled
from tests.lab.cluster import BASE, Cluster
from tests.lab.guarded import guarded_cluster
from tests.lab.nodestate import running_nodes, state
from tests.lab.raygang import parts
from tests.lab.toycluster import install, remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparkctl.lab.lab import Lab


@dataclass
class Sshd:
    """One running sshd and what a client needs to reach it."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def ssh(self, **changes: object) -> Ssh:
        """The inventory's settings for this sshd."""
        values = {
            "user": "root",
            "port": self.port,
            "identity_file": str(self.folder / "client"),
            "known_hosts": str(self.known_hosts),
            "connect_timeout": 10.0,
        }
        return Ssh.model_validate(values | changes)


def keygen(path: Path, kind: str = "ed25519") -> str:
    """Make a key pair without a passphrase; gives the public line."""
    argv = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)]
    subprocess.run(argv, check=True)
    return path.with_suffix(".pub").read_text()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def make_sshd(tmp_path: Path) -> Iterator[Callable[..., Sshd]]:
    """Start any number of sshds, each in its own folder; they are stopped after the test."""
    assert os.geteuid() == 0, "the lab tests run as root"
    Path("/run/sshd").mkdir(exist_ok=True)
    started: list[Sshd] = []

    def make(name: str, kinds: tuple[str, ...] = ("ed25519",), more: str = "") -> Sshd:
        folder = tmp_path / name
        folder.mkdir()
        hosts = [keygen(folder / f"host_{kind}", kind) for kind in kinds]
        (folder / "authorized").write_text(keygen(folder / "client"))
        port = free_port()
        (folder / "config").write_text(
            f"{more}Port {port}\nListenAddress 127.0.0.1\n"
            + "".join(f"HostKey {folder}/host_{kind}\n" for kind in kinds)
            + f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\n"
            f"PidFile none\nPasswordAuthentication no\n"
        )
        process = subprocess.Popen(
            ["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.PIPE
        )
        assert process.stderr is not None
        while b"listening" not in (line := process.stderr.readline()):
            assert line, "sshd ended at its start"
        keys = [" ".join(host.split()[:2]) for host in hosts]
        known = "".join(f"[127.0.0.1]:{port} {key}\n" for key in keys)
        (folder / "known_hosts").write_text(known)
        sshd = Sshd(port, folder, process)
        started.append(sshd)
        return sshd

    yield make
    for sshd in started:
        sshd.process.terminate()
        sshd.process.wait()


@pytest.fixture
def sshd(make_sshd: Callable[..., Sshd]) -> Sshd:
    return make_sshd("sshd")


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Two imitated Sparks for all tests of this session; SPARKCTL_TEST_LAB names another folder."""
    cache = cache_folder()
    made = labs.up(2, BASE, cache / "runtime", cache / "lab", model=(cache / "runtime").exists())
    yield made
    labs.down(BASE)


@pytest.fixture
def cluster(lab: Lab) -> Cluster:
    """The tool on the lab."""
    return Cluster(lab, lab.inventory)


@pytest.fixture(scope="session")
def guarded(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The tool on the lab, with an API that has a key and TLS."""
    return guarded_cluster(lab, tmp_path_factory.mktemp("guarded"))


@pytest.fixture(scope="session")
def started() -> dict[str, list[str]]:
    """The processes of Ray and vLLM that the last `up` of `served` left."""
    return {}


@pytest.fixture
def served(guarded: Cluster, started: dict[str, list[str]]) -> Cluster:
    """The guarded cluster, which runs: brought up for the first test, and after one that changed
    its processes.
    """
    if not started or parts(guarded) != started:
        guarded.up()
        started.update(parts(guarded))
    return guarded


@pytest.fixture
def clean(cluster: Cluster) -> Iterator[None]:
    """The nodes have nothing of sparkctl before the test, and nothing after it."""
    assert cluster.traces() == {}
    yield
    assert cluster.traces() == {}


@pytest.fixture
def downed(clean: None, cluster: Cluster) -> Iterator[None]:
    """The same after a `down`."""
    yield
    cluster.run("down", "--break-lock")


@pytest.fixture(scope="module")
def toys(lab: Lab) -> Iterator[None]:
    """The toy engine's program is on the nodes."""
    install(lab)
    yield
    remove(lab)


@pytest.fixture
def healed(lab: Lab) -> Iterator[None]:
    """Heal what the test injected, also when it failed."""
    yield
    engine.heal(lab.base)


@pytest.fixture(scope="module")
def healthy(lab: Lab) -> dict[str, Any]:
    settled.wait(list(running_nodes(lab).values()))
    return state(lab)
