"""The files, keys and start of one imitated node."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.errors import SparkctlError
from sparkctl.lab.containers import cgroups, tools
from sparkctl.lab.spec import CABLED, MARK, MTU, NodeSpec

if TYPE_CHECKING:
    from sparkctl.lab.node_init import Request

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
READY = 40.0  # seconds for sshd's banner; 0.3 s were measured, 1 s with containers
NODE_FILES = Path("/run/sparkctl-lab")  # on the node: what its sshd needs
SSHD_PID = NODE_FILES / "sshd.pid"  # on the node; there when its sshd listens
FAULT_FILES = NODE_FILES / "faults"  # on the node: the active faults' files
IMAGE = NODE_FILES / "image.tar"  # on the node
NETPLAN = Path("/etc/netplan/60-fabric.yaml")  # on the node
NVIDIA_SMI = Path(__file__).with_name("nvidia-smi.sh")
PACKAGE_ROOT = Path(__file__).parents[2]


def keygen(path: Path) -> str:
    """Make an ed25519 key pair; gives the public key as type and base64."""
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "sparkctl-lab", "-f", str(path)]
    subprocess.run(argv, check=True)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def prepare(node: NodeSpec, *, hosts: str, authorized: str) -> str:
    """Write the node's own files; gives its host key."""
    files = node.folder / "files"
    own = files / NODE_FILES.relative_to("/")
    faults = files / FAULT_FILES.relative_to("/")
    for folder in (node.folder / "mnt", files / "etc", files / "usr/local/bin", faults):
        folder.mkdir(parents=True)
    (files / "etc/hosts").write_text(f"127.0.0.1 localhost\n{hosts}")
    # This machine's name server is out of a node's reach, and torch looks up the names of fabric
    # addresses: 10 s each. Without one libc asks the node itself, which refuses at once.
    (files / "etc/resolv.conf").write_text("# no name server\n")
    (files / "etc/hostname").write_text(node.name + "\n")
    tool = files / "usr/local/bin/nvidia-smi"
    shutil.copy(NVIDIA_SMI, tool)
    tool.chmod(0o755)
    netplan = files / NETPLAN.relative_to("/")
    netplan.parent.mkdir()
    netplan.write_text(_netplan(node))
    netplan.chmod(0o600)  # netplan warns of any other mode
    (own / "authorized_keys").write_text(authorized)
    (own / "sshd_config").write_text(
        f"ListenAddress {node.address}\nHostKey {NODE_FILES}/host_key\n"
        f"AuthorizedKeysFile {NODE_FILES}/authorized_keys .ssh/authorized_keys\n"
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\nUsePAM no\n"
        f"StrictModes no\nPidFile {SSHD_PID}\nMaxSessions 64\nMaxStartups 100\nUseDNS no\n"
        "Subsystem sftp internal-sftp\n"
        f"SetEnv PATH={PATH} HOSTNAME={node.name} {MARK}={_quoted(str(node.base))}\n"
    )
    return keygen(own / "host_key")


def write_containers(node: NodeSpec, containers: tuple[str, ...], archive: bytes) -> None:
    """Write a prepared node's files of these container engines, and their image."""
    files = node.folder / "files"
    (files / IMAGE.relative_to("/")).write_bytes(archive)
    for path, text in tools.files(containers).items():
        place = files / path.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(0o755 if path.parent.name == "sbin" else 0o644)
    for tool in containers:
        _data(node, tool).mkdir(parents=True)


def _data(node: NodeSpec, tool: str) -> Path:
    return node.folder / "containers" / tool


def _netplan(node: NodeSpec) -> str:
    """The netplan file that gives the node its fabric addresses at boot."""
    text = "network:\n  version: 2\n  ethernets:\n"
    for half in CABLED:
        text += f"    {half.interface}:\n      addresses: [{node.fabric_address(half)}/24]\n"
        text += f"      mtu: {MTU}\n"
    return text


def _quoted(value: str) -> str:
    """A quoted value for sshd_config(5), whose escapes are \\" and \\\\."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def start(
    node: NodeSpec, shares: dict[Path, Path], *, cabled: bool, containers: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """Start a prepared node; it is reachable when wait() returns. Raises SparkctlError."""
    sshd = shutil.which("sshd", path=PATH)
    if sshd is None:
        raise SparkctlError(
            f"the lab's nodes need sshd, which is not in {PATH}",
            hint="install the OpenSSH server: apt-get install openssh-server",
            code="lab-sshd-missing",
        )
    shares = shares | {tools.DATA[tool]: _data(node, tool) for tool in containers}
    request: Request = {
        "number": node.number,
        "base": str(node.base),
        "management_subnet": node.management_subnet,
        "hardware": node.hardware.name,
        "cabled": cabled,
        "sshd": [sshd, "-D", "-e", "-f", f"{NODE_FILES}/sshd_config"],
        "containers": [*containers],
        "cgroups": cgroups.mounted() if containers else [],
        "image": str(IMAGE),
        "shares": {str(inside): str(outside) for inside, outside in shares.items()},
    }
    argv = ["ip", "netns", "exec", node.netns]
    argv += ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]
    argv += ["--cgroup"] if containers else []
    argv += [sys.executable, "-P", "-m", "sparkctl.lab.node_init"]
    if containers:
        argv = cgroups.within(cgroups.make(node.netns), argv)
    with (node.folder / "init.log").open("wb") as log:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env={"PATH": PATH, MARK: str(node.base), "PYTHONPATH": str(PACKAGE_ROOT)},
            start_new_session=True,
        )
    if containers:
        cgroups.move_launcher(node.netns, process)
    assert process.stdin is not None
    with process.stdin as stdin:
        stdin.write(json.dumps(request))
    return process


def wait(node: NodeSpec, process: subprocess.Popen[str]) -> None:
    """Wait until the node's sshd answers.

    Raises SparkctlError with the node's log when the node ends or READY seconds have passed.
    """
    deadline = time.monotonic() + READY
    while time.monotonic() < deadline and process.poll() is None:
        if ssh_answers(node):
            return
        time.sleep(0.02)
    log = (node.folder / "init.log").read_text(errors="replace").strip()
    ended = process.poll() is not None
    how = "the node ended during its start" if ended else f"sshd did not answer in {READY:g} s"
    raise SparkctlError(
        f"{how}: {log or 'its log is empty'}",
        node=node.name,
        hint="the lab needs all capabilities of root, and a kernel with overlay and namespaces",
        code="lab-node-not-started",
    )


def ssh_answers(node: NodeSpec) -> bool:
    """Whether the node's sshd sends a banner."""
    try:
        with socket.create_connection((node.address, 22), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
