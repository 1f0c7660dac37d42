"""Faults of a node's sshd."""

from __future__ import annotations

import re

from sparkctl.lab.faults.fault import Fault
from sparkctl.lab.faults.target import Target, until
from sparkctl.lab.node import NODE_FILES, SSHD_PID

CONFIG, HOST_KEY = NODE_FILES / "sshd_config", NODE_FILES / "host_key"
SLOW = 4  # seconds; sshd rounds the time of a failed "none" login up, to at most 8
NAME_SERVER = "127.0.0.53"

# On SIGHUP sshd restarts itself with new files, and writes its pid when it listens.
RESTART = f'pid=$(cat {SSHD_PID}); rm {SSHD_PID}; kill -HUP "$pid"; exec "$@"'
RELOAD = ["sh", "-ec", RESTART, "sh", *until(f"[ -s {SSHD_PID} ]")]


def _stop(target: Target) -> None:
    """SIGSTOP: the kernel still accepts connections, and no banner is sent."""
    signal = f"kill -{{}} $(cat {SSHD_PID})"
    target.change(["sh", "-c", signal.format("STOP")], ["sh", "-c", signal.format("CONT")])
    target.until(f"grep -q '^State:.T' /proc/$(cat {SSHD_PID})/status")


SILENT = """\
import signal, socket, sys
server = socket.socket(type=socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
signal.pause()
"""


def _slow(target: Target) -> None:
    """The usual reason: sshd looks up the client's name, and the name server does not answer."""
    config = target.read(CONFIG)
    target.on_heal(*RELOAD)
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
    target.on_heal(*RELOAD)
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
