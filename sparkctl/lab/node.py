"""Starting one imitated node, and its ssh keys."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from sparkctl.errors import SparkctlError
from sparkctl.lab import node_init, sysfs
from sparkctl.lab.spec import MARK, NodeSpec

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
READY = 20.0  # seconds for sshd's banner; 0.3 s were measured


def keygen(path: Path) -> str:
    """Make an ed25519 key pair; gives the public key, type and base64."""
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "sparkctl-lab", "-f", str(path)]
    subprocess.run(argv, check=True)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def start(node: NodeSpec, *, cabled: bool, cache: Path) -> str:
    """Start a node and give its host key; it is reachable when wait() returns."""
    node.folder.mkdir(parents=True)
    (node.folder / "root").mkdir()
    sysfs.write(node, cabled=cabled)
    hosts = f"127.0.0.1 localhost {node.name}\n"
    etc = node.folder / "root/etc"
    etc.mkdir()
    (etc / "hosts").write_text(hosts)
    (etc / "hostname").write_text(node.name + "\n")
    key = keygen(node.folder / "host_key")
    (node.folder / "sshd_config").write_text(
        f"ListenAddress {node.address}\nHostKey {node.folder}/host_key\n"
        f"AuthorizedKeysFile {node.base}/client_key.pub\n"
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\nUsePAM no\n"
        "StrictModes no\nPidFile none\nMaxSessions 64\nMaxStartups 100\nUseDNS no\n"
        "Subsystem sftp internal-sftp\n"
        f"SetEnv PATH={PATH} {MARK}={node.base}\n"
    )
    argv = ["ip", "netns", "exec", node.netns, "unshare", "--mount", "--uts", "--ipc", "--pid",
            "--fork", "--kill-child", sys.executable, "-I", node_init.__file__,
            str(node.folder), node.name, str(cache)]  # fmt: skip
    with (node.folder / "init.log").open("wb") as log:
        subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, MARK: str(node.base)},
            start_new_session=True,
        )
    return key


def wait(node: NodeSpec) -> None:
    """Until the node's sshd sends its banner.

    Raises SparkctlError with the node's own messages when it does not.
    """
    deadline = time.monotonic() + READY
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((node.address, 22), timeout=1) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            time.sleep(0.02)  # between looks; the deadline ends it
    log = (node.folder / "init.log").read_text(errors="replace").strip()
    raise SparkctlError(
        f"the lab's {node.name} has no sshd after {READY:g} s: {log or 'it said nothing'}",
        hint="`sparkctl lab down` clears what is there",
    )
