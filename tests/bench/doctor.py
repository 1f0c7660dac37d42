"""How long a whole passive doctor takes, beside bare ssh and the usual fact gatherers.

Run as `python -m tests.bench.doctor [--tools VENV] [--before CHECKOUT]` after env/setup, on an idle
machine. VENV is a virtual environment with pyinfra and ansible-core, CHECKOUT an older sparkctl to
compare with. Prints a table in Markdown: the median of each and its ratio to bare ssh, all measured
in turn on the same nodes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.cli.lab import cache_folder
from sparkctl.lab import lab as labs

if TYPE_CHECKING:
    from collections.abc import Callable

BASE = Path("/var/lib/sparkctl-lab-bench")
ROUNDS = 9
# What doctor reads as well, where pyinfra has a fact for it without an argument.
PLAIN = [
    "server.Hostname",
    "server.User",
    "server.Home",
    "server.Kernel",
    "server.KernelVersion",
    "server.Arch",
    "server.LinuxDistribution",
    "server.Date",
    "server.Mounts",
    "server.SecurityLimits",
    "hardware.Memory",
    "hardware.NetworkDevices",
]
# And the greater part of the rest, as somebody would read it with pyinfra: processes, listeners,
# the GPU, the RDMA devices' states and GID tables, and the files that may hold NCCL's settings.
IB = "/sys/class/infiniband/*/ports/1"
COMMANDS = (
    "nvidia-smi --query-gpu=name,driver_version --format=csv,noheader",
    "nvidia-smi --query-compute-apps=pid,process_name --format=csv,noheader",
    f"cat {IB}/state {IB}/rate",
    f"cat {IB}/gids/*",
)
FILES = ("/etc/environment", "/etc/profile", "/root/.bashrc", "/etc/nccl.conf")
SAME = [*PLAIN, "server.Processes", "server.Ports"]
SAME += [word for command in COMMANDS for word in ("server.Command", f"command={command}")]
SAME += [word for path in FILES for word in ("files.FileContents", f"path={path}")]


def run(argv: list[str], env: dict[str, str] | None = None, folder: Path | None = None) -> None:
    """Run a command and discard its output."""
    nowhere = subprocess.DEVNULL
    env = {**os.environ, **(env or {})}
    subprocess.run(
        argv, check=True, stdout=nowhere, stderr=nowhere, stdin=nowhere, env=env, cwd=folder
    )


def ssh_options(lab: labs.Lab) -> list[str]:
    """What ssh(1) needs for the lab's nodes."""
    known = f"UserKnownHostsFile={lab.base}/known_hosts"
    return ["-F", "none", "-i", f"{lab.base}/client_key", "-o", "IdentitiesOnly=yes", "-o", known]


def bare_ssh(lab: labs.Lab) -> None:
    """`ssh node true` on all nodes at once."""
    started = [
        subprocess.Popen(
            ["ssh", *ssh_options(lab), f"root@{n.address}", "true"], stdin=subprocess.DEVNULL
        )
        for n in lab.nodes
    ]
    assert [p.wait() for p in started] == [0] * len(started)


def doctor(lab: labs.Lab, checkout: Path) -> None:
    """The whole passive doctor of a checkout, with the interpreter's start."""
    argv = [sys.executable, "-m", "sparkctl", "doctor", "--passive", "--json", "-i"]
    # python -m looks into the working directory first.
    run([*argv, str(lab.inventory)], {"PYTHONPATH": str(checkout)}, checkout)


def pyinfra(lab: labs.Lab, tools: Path, facts: list[str]) -> None:
    """These facts, by pyinfra."""
    hosts = ",".join(n.address for n in lab.nodes)
    argv = [str(tools / "bin/pyinfra"), hosts, "--user", "root", "--key", f"{lab.base}/client_key"]
    argv += ["--data", f"ssh_known_hosts_file={lab.base}/known_hosts", "-y"]
    run([*argv, "fact", *facts])


def ansible(lab: labs.Lab, tools: Path) -> None:
    """Ansible's facts, with a fork a node and pipelining."""
    hosts = ",".join(n.address for n in lab.nodes) + ","
    argv = [str(tools / "bin/ansible"), "all", "-i", hosts, "-m", "setup", "-u", "root", "-f", "16"]
    argv += ["--private-key", f"{lab.base}/client_key"]
    known = f"--ssh-common-args=-o UserKnownHostsFile={lab.base}/known_hosts"
    run([*argv, known], {"ANSIBLE_PIPELINING": "True", "LC_ALL": "C.UTF-8"})


def measure(ways: dict[str, Callable[[labs.Lab], None]], lab: labs.Lab) -> dict[str, float]:
    """The median seconds of each, one warm-up before; in turn, so that all share the weather."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(ROUNDS + 1):
        for name, way in ways.items():
            start = time.monotonic()
            way(lab)
            if round_number:
                taken[name].append(time.monotonic() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def main() -> None:
    """Measure at 2, 4, 8 and 16 nodes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", type=Path, help="virtual environment with pyinfra and ansible")
    parser.add_argument("--before", type=Path, help="checkout of an older sparkctl")
    given = parser.parse_args()
    tools: Path | None = given.tools
    ways: dict[str, Callable[[labs.Lab], None]] = {"bare ssh": bare_ssh}
    for name, checkout in (("doctor", Path.cwd()), ("doctor before", given.before)):
        if checkout:
            ways[name] = partial(doctor, checkout=checkout)
    if tools:
        ways["pyinfra, 12 facts"] = lambda lab: pyinfra(lab, tools, PLAIN)
        ways["pyinfra, as doctor"] = lambda lab: pyinfra(lab, tools, SAME)
        ways["Ansible"] = lambda lab: ansible(lab, tools)
    cache = cache_folder()
    print("| nodes | " + " | ".join(f"{name}, s (x bare ssh)" for name in ways) + " |")
    print("|---" * (len(ways) + 1) + "|")
    for count in (2, 4, 8, 16):
        lab = labs.up(count, BASE, cache / "runtime", cache / "lab", model=True)
        try:
            found = measure(ways, lab)
        finally:
            labs.down(BASE)
        cells = (f"{s:.2f} ({s / found['bare ssh']:.1f})" for s in found.values())
        print(f"| {count} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
