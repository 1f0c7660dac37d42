"""A node's sshd: its files, and how it takes new ones."""

from __future__ import annotations

from sparkctl.lab.faults.waiting import until
from sparkctl.lab.node import NODE_FILES, SSHD_PID

CONFIG, HOST_KEY = NODE_FILES / "sshd_config", NODE_FILES / "host_key"

# On SIGHUP sshd restarts itself with new files, and writes its pid when it listens.
RESTART = f'pid=$(cat {SSHD_PID}); rm {SSHD_PID}; kill -HUP "$pid"; exec "$@"'
RELOAD = ["sh", "-ec", RESTART, "sh", *until(f"[ -s {SSHD_PID} ]")]
