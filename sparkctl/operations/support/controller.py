"""What this machine has for a support bundle: the logs of the last runs, and versions."""

from __future__ import annotations

import locale
import platform
import re
import sys
import time
from importlib import metadata
from typing import TYPE_CHECKING

from sparkctl import __version__, kept
from sparkctl.operations.logs.kept import kept_logs
from sparkctl.operations.support.excerpt import of_file
from sparkctl.remote.fanout import each
from sparkctl.remote.sshconfig import resolve

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from sparkctl.inventory.models import Inventory
    from sparkctl.operations.support.excerpt import Excerpt

# What Connection logs first of a node (remote/connection.py), after the time.
CONNECTING = re.compile(
    r"^\S+ \S+ (\S+): connecting: (?!(?:ended|failed) after )(.+)$", re.MULTILINE
)
NAMED = re.compile(r"(\d{8})-\d{6}-(\d+)[.-]")
RUNS, TRACEBACK = (".change.log", ".run.log"), ".traceback"  # output/runlog.py, output/failure.py
PACKAGES = ("click", "cryptography", "jinja2", "paramiko", "pydantic", "PyYAML", "rich")


def run_logs(known: Collection[tuple[str, str]]) -> tuple[dict[str, Excerpt], dict[str, str]]:
    """The logs of the last runs by name, first of those that may change nodes, each the oldest
    first, and their tracebacks; and what is left out, with the reason.

    Runs that connected to other nodes than those `known`, by name and host, were about another
    inventory, whose names cannot be masked.
    """
    found: dict[str, Excerpt] = {}
    left_out: dict[str, str] = {}
    runs: set[str] = set()
    others = 0
    for path in _paths(left_out):
        try:
            log = of_file(path)
        except OSError as error:
            left_out[path.name] = error.strerror or str(error)
            continue
        run = _process(path)
        if path.name.endswith(TRACEBACK):
            if run and run in runs:
                found[path.name] = log
        elif {*CONNECTING.findall(f"{log.begin}\n{log.end}")} <= {*known}:
            found[path.name] = log
            runs.add(run)
        else:
            others += 1
    if others:
        left_out["*.log"] = f"{others} of them are about other inventories"
    return found, left_out


def start_logs(inventory: Inventory) -> tuple[dict[tuple[str, str], Excerpt], dict[str, str]]:
    """The kept logs of failed starts by node and file name, the newest first; and what is left
    out, with the reason. They are of a cluster of this name, and of its nodes alone.
    """
    found: dict[tuple[str, str], Excerpt] = {}
    left_out: dict[str, str] = {}
    try:
        logs = kept_logs(inventory.cluster)
    except OSError as error:
        return {}, {"kept logs": error.strerror or str(error)}
    nodes = {node.name for node in inventory.nodes}
    for log in logs:
        if log.node in nodes:
            try:
                found[log.node, log.path.name] = of_file(log.path)
            except OSError as error:
                left_out[log.path.name] = error.strerror or str(error)
    return found, left_out


def _paths(left_out: dict[str, str]) -> list[Path]:
    """The files, the runs' logs first; what hinders is added to `left_out`."""
    try:
        where = kept.folder()
        return [
            p for kind in (*RUNS, TRACEBACK) for p in sorted(where.glob("*" + kind))[-kept.LAST :]
        ]
    except OSError as error:
        left_out["*"] = error.strerror or str(error)
        return []


def _process(path: Path) -> str:
    """The day and pid in the name of a run's file, DAY-TIME-PID…; empty for another's."""
    match = NAMED.match(path.name)
    return f"{match[1]} {match[2]}" if match else ""


def versions() -> dict[str, object]:
    """Of sparkctl, Python, the system and the packages that sparkctl uses; no name of the host."""
    return {
        "sparkctl": __version__,
        "python": sys.version,
        "system": platform.platform(),
        "machine": platform.machine(),
        "encoding": locale.getpreferredencoding(do_setlocale=False),
        "utc_offset": time.strftime("%z"),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def routes(inventory: Inventory) -> dict[str, tuple[str, set[str]]]:
    """The user and the hosts by which SSH reaches each node, as ~/.ssh/config has them; none of a
    node where ssh refuses it.
    """
    found = each(
        inventory.nodes, lambda n: resolve(n.host, inventory.ssh_of(n)), key=lambda n: n.name
    )
    return {
        name: (target.user, {target.host, *(_hop_host(hop) for hop in target.proxy_jump)})
        for name, target in found.ok.items()
    }


def _hop_host(hop: str) -> str:
    """The host of user@host:port."""
    return hop.rpartition("@")[2].rsplit(":", 1)[0].strip("[]")
