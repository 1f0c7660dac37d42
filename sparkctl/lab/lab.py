"""Making, looking at and removing the lab."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from sparkctl.errors import SparkctlError, UsageError
from sparkctl.lab import inventory, network, node
from sparkctl.lab.model import ensure_model
from sparkctl.lab.spec import IMITATED, MARK, MAX_NODES, NodeSpec


@dataclass(frozen=True)
class Lab:
    """A lab's nodes and places."""

    base: Path
    nodes: list[NodeSpec]

    @property
    def inventory(self) -> Path:
        """The inventory for the other commands."""
        return self.base / "inventory.yaml"


def require_root() -> None:
    """Raises UsageError where namespaces cannot be made."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise UsageError(
            "the lab makes network namespaces and mounts: it needs Linux and root",
            hint="run it as root on a Linux machine, or `sparkctl init` for real Sparks",
        )


def find(base: Path) -> Lab | None:
    """The lab that was made in `base`; None when there is none."""
    try:
        state = json.loads((base / "lab.json").read_text())
    except (OSError, ValueError):
        return None
    return Lab(base, [NodeSpec(n, base, state["subnet"]) for n in range(1, state["nodes"] + 1)])


def up(count: int, base: Path, runtime: Path, cache: Path, *, model: bool) -> Lab:
    """Make a lab of `count` nodes; undone when a part of it fails.

    Raises SparkctlError, also when there is one already (with another number of nodes).
    """
    require_root()
    existing = find(base)
    if existing and processes(base):
        if len(existing.nodes) == count:
            return existing
        raise SparkctlError(
            f"a lab with {len(existing.nodes)} nodes is up in {base}, wanted {count}",
            hint="`sparkctl lab down` first",
        )
    if not 1 <= count <= MAX_NODES:
        raise UsageError(f"wanted 1 to {MAX_NODES} nodes, found {count}")
    others = _others(base)
    if others:
        raise SparkctlError(
            f"one machine carries one lab: another is up in {', '.join(sorted(others))}",
            hint=f"`sparkctl lab down --dir {sorted(others)[0]}` first",
        )
    down(base)  # what a crash left
    try:
        return _make(count, base, runtime, cache, model=model)
    except BaseException:
        down(base)
        raise


def _make(count: int, base: Path, runtime: Path, cache: Path, *, model: bool) -> Lab:
    base.mkdir(parents=True, mode=0o700)
    lab = Lab(base, [NodeSpec(n, base, network.free_subnet()) for n in range(1, count + 1)])
    state = {"nodes": count, "subnet": lab.nodes[0].management_subnet}
    (base / "lab.json").write_text(json.dumps(state))
    node.keygen(base / "client_key")
    network.make(lab.nodes)
    keys = {n: node.start(n, cabled=count > 1, cache=cache) for n in lab.nodes}
    (base / "known_hosts").write_text("".join(f"{n.address} {k}\n" for n, k in keys.items()))
    if model:
        ensure_model(cache / "model", runtime)
        (base / "model").symlink_to(cache / "model")
    lab.inventory.write_text(inventory.text(lab.nodes, base=base, runtime=runtime))
    for each in lab.nodes:
        node.wait(each)
    return lab


def _others(base: Path) -> set[str]:
    """The folders of other labs that run on this machine; their links have our names."""
    return {lab for p in _marked() if (lab := _mark(p)) and lab != str(base)}


def processes(base: Path) -> list[psutil.Process]:
    """The processes of the lab in `base`: those that carry its mark."""
    return [p for p in _marked() if _mark(p) == str(base)]


def _marked() -> list[psutil.Process]:
    return [p for p in psutil.process_iter() if _mark(p)]


def _mark(process: psutil.Process) -> str | None:
    """The lab that a process belongs to; None for others and for what may not be read."""
    try:
        mark: str | None = process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None
    return mark


def down(base: Path) -> list[str]:
    """Remove everything of the lab, also what a crash left; gives what was there.

    Raises SparkctlError when a process does not end.
    """
    require_root()
    running = processes(base)
    for process in running:
        try:
            process.kill()  # a namespace's first process takes all of its others with it
        except psutil.NoSuchProcess:
            continue
    _, left = psutil.wait_procs(running, timeout=15)
    if left:
        raise SparkctlError(
            f"processes of the lab do not end: {', '.join(str(p.pid) for p in left)}",
            hint="see `ps` and dmesg",
        )
    removed = [f"{len(running)} processes"] if running else []
    if not _others(base):
        removed += network.remove()
    if base.is_dir() and ((base / "lab.json").exists() or not any(base.iterdir())):
        shutil.rmtree(base)
        removed.append(str(base))
    return removed


def status(base: Path) -> dict[str, Any] | None:
    """The lab as JSON; None when there is none."""
    lab = find(base)
    if lab is None:
        return None
    running = processes(base)
    inits = {p.cmdline()[-2]: p.pid for p in running if "unshare" in p.name()}
    return {
        "base": str(base),
        "inventory": str(lab.inventory),
        "nodes": [
            {"name": n.name, "address": n.address, "netns": n.netns, "pid": inits.get(n.name)}
            for n in lab.nodes
        ],
        "imitated": list(IMITATED),
    }
