"""`sparkctl logs -f` of both of the toy's ranks, while the tests change what they log."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.lab.cluster import Cluster

READER = r"pgrep -f '[l]oad\[.modules.\]'"  # what reads a log on a node, and any other call there
BOUND = 90.0  # seconds; a reader whose TCP reset was lost ends with its next event
CUT = f"""\
pid=$({READER} | head -n 1)
until case $(cat /proc/$pid/comm) in sshd*) true;; *) false;; esac; do
    pid=$(ps -o ppid= -p $pid | tr -d ' ')
done
kill -9 $pid
"""


class Following:
    """The logs as they are followed; what was printed is in `lines`."""

    def __init__(self, cluster: Cluster, process: subprocess.Popen[str]) -> None:
        self.cluster, self.process = cluster, process
        self.nodes = [node.name for node in cluster.lab.nodes]
        self.lines: list[str] = []

    def until(self, *lines: str) -> None:
        """Read on until each of these lines has come."""
        assert self.process.stdout is not None
        awaited = {*lines}
        while awaited:
            line = self.process.stdout.readline().rstrip("\n")
            assert line, f"it ended before {awaited}: {self.lines}"
            self.lines.append(line)
            awaited.discard(line)

    def write(self, line: str) -> None:
        """Let each rank's last log have this line, and wait for both."""
        for node in self.nodes:
            self.cluster.on(
                node, f"log=$(ls -t ~/.sparkctl/*/logs/*/rank.log | head -n 1); echo {line} >> $log"
            )
        self.until(*(f"{node} rank | {line}" for node in self.nodes))

    def cut(self, node: str) -> None:
        """End its connection to a node."""
        self.cluster.on(node, CUT)

    def interrupted(self) -> str:
        """End it by Ctrl-C; gives its stderr."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=30)
        self.lines += out.splitlines()
        assert self.process.returncode == 130, err
        deadline = time.monotonic() + BOUND
        for node in self.nodes:
            while left := self.cluster.on(node, f"{READER}; true").split():
                assert time.monotonic() < deadline, f"readers left on {node}: {left}"
        return err


@contextmanager
def followed(cluster: Cluster) -> Iterator[Following]:
    """Both logs, from their last line on."""
    nodes = [node.name for node in cluster.lab.nodes]
    process = cluster.start("logs", "rank", *nodes, "-f", "-n", "1")
    bound = threading.Timer(120, process.kill)
    bound.start()
    try:
        yield Following(cluster, process)
    finally:
        bound.cancel()
        process.kill()
        process.wait()
