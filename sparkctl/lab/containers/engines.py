"""Starting a node's container engines; the standard library alone, used by node_init.py."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

DOCKER_SOCKET = "/run/docker.sock"
DOCKER_LOG = Path("/var/log/dockerd.log")
READY = 30.0  # seconds for dockerd to answer; 0.5 s were measured
# An account of the node that may use docker and is not root.
USER, UID = "spark", 60100


def add_user(base: str) -> None:
    """Add the account USER with the group docker, which is made if there is none.

    The lab's folder `base`, which is root's alone, is opened on the node: it has the model.
    """
    group, passwd, shadow = Path("/etc/group"), Path("/etc/passwd"), Path("/etc/shadow")
    lines = [line for line in group.read_text().splitlines() if not line.startswith("docker:")]
    gid = next((g.split(":")[2] for g in group.read_text().splitlines() if g not in lines), UID + 1)
    lines += [f"{USER}:x:{UID}:", f"docker:x:{gid}:{USER}"]
    group.write_text("\n".join(lines) + "\n")
    home = Path("/home") / USER
    with passwd.open("a") as file:
        file.write(f"{USER}:x:{UID}:{UID}::{home}:/bin/bash\n")
    with shadow.open("a") as file:
        file.write(f"{USER}:*:20000:0:99999:7:::\n")
    home.mkdir(parents=True, exist_ok=True)
    os.chown(home, UID, UID)
    Path(base).mkdir(parents=True, exist_ok=True)
    Path(base).chmod(0o711)


def start(tools: list[str], archive: str) -> None:
    """Start dockerd if it is one of `tools`, and load the image in `archive` into each of them.

    Raises SystemExit with the last line of dockerd's log when it does not start, and
    CalledProcessError when an image cannot be loaded.
    """
    if "docker" in tools:
        _start_dockerd()
    for tool in tools:
        subprocess.run([tool, "load", "--quiet", "--input", archive], check=True)


def _start_dockerd() -> None:
    with DOCKER_LOG.open("ab") as log:
        daemon = subprocess.Popen(["dockerd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    deadline = time.monotonic() + READY
    while not _answers():
        if daemon.poll() is not None or time.monotonic() > deadline:
            lines = DOCKER_LOG.read_text(errors="replace").splitlines() or ["its log is empty"]
            sys.exit(f"dockerd did not start: {lines[-1]}")
        time.sleep(0.02)


def _answers() -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(DOCKER_SOCKET)
            client.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in client.recv(64)
    except OSError:
        return False
