"""Faults of a node's sshd."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.lab.faults.fault import Fault
from sparkctl.lab.faults.sshd import CONFIG, HOST_KEY, RELOAD
from sparkctl.lab.node import SSHD_PID

if TYPE_CHECKING:
    from sparkctl.lab.faults.target import Target

SLOW = 4  # seconds; sshd rounds the time of a failed "none" login up, to at most 8
NAME_SERVER = "127.0.0.53"


def _stop(target: Target) -> None:
    """SIGSTOP: the kernel still accepts connections, and no banner is sent."""
    pid = int(target.read(SSHD_PID))
    target.change(f"kill -STOP {pid}", "continue", pids=[pid])
    target.until(f"grep -q '^State:.T' /proc/{pid}/status")


SILENT = """\
import signal, socket, sys
server = socket.socket(type=socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
signal.pause()
"""


def _slow(target: Target) -> None:
    """The usual reason: sshd looks up the client's name, and the name server does not answer."""
    config = target.read(CONFIG)
    target.on_heal("reload-sshd")
    target.start("python3", "-c", SILENT, NAME_SERVER)
    target.until(f"ss -Hlun 'src {NAME_SERVER}:53' | grep -q .")
    target.cover("/etc/nsswitch.conf", "hosts: files dns\n")
    options = f"options timeout:{SLOW} attempts:1"
    target.cover("/etc/resolv.conf", f"nameserver {NAME_SERVER}\n{options}\n")
    target.cover(CONFIG, re.sub("^UseDNS no$", "UseDNS yes", config, flags=re.MULTILINE))
    target.run(*RELOAD)


def _other_key(target: Target) -> None:
    key = f"{target.folder}/host_key"
    target.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    target.on_heal("reload-sshd")
    for suffix in ("", ".pub"):
        target.cover_by(f"{HOST_KEY}{suffix}", f"{key}{suffix}")
    target.run(*RELOAD)


FAULTS = (
    Fault(
        "ssh-down",
        "sshd is suspended (SIGSTOP): it accepts connections and sends no banner",
        _stop,
        touches=("sshd",),
    ),
    Fault(
        "ssh-slow",
        "a login takes about 6 s: sshd asks a name server that does not answer",
        _slow,
        touches=("sshd", "resolver"),
    ),
    Fault(
        "host-key-changed",
        "sshd has a host key other than the one in known_hosts",
        _other_key,
        touches=("sshd",),
    ),
)
