"""Making, looking at and removing the lab."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparkctl.errors import SparkctlError, UsageError
from sparkctl.lab import inventory, network, node
from sparkctl.lab.faults import journal
from sparkctl.lab.lock import exclusive, in_turn
from sparkctl.lab.model import INSTALLER, ensure_model
from sparkctl.lab.processes import end, inits, processes
from sparkctl.lab.spec import CABLED, IMITATED, MAX_NODES, NodeSpec

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Lab", "down", "find", "processes", "status", "up"]
STATE = "lab.json"


@dataclass(frozen=True)
class Lab:
    """A lab's nodes and places; `existing`: it was up already."""

    base: Path
    nodes: list[NodeSpec]
    existing: bool = False

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
    """The lab that was made in `base`; None when there is none. Raises UsageError."""
    require_root()
    base = base.resolve()
    try:
        state = json.loads((base / STATE).read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    nodes = [NodeSpec(n, base, state["subnet"]) for n in range(1, state["nodes"] + 1)]
    return Lab(base, nodes, existing=True)


def up(count: int, base: Path, runtime: Path, cache: Path, *, model: bool) -> Lab:
    """Make a lab of `count` nodes; undone when a part of it fails.

    `cache` outlives the lab: the model, and what vLLM compiles. Without `model` none is made, and
    `runtime` need not exist. Raises SparkctlError, also when `base` has another lab already.
    """
    require_root()
    if not 1 <= count <= MAX_NODES:
        raise UsageError(f"wanted 1 to {MAX_NODES} nodes, found {count}")
    base, runtime, cache = base.resolve(), runtime.absolute(), cache.resolve()
    if model and not (runtime / "bin/python").exists():
        raise SparkctlError(
            f"the lab's model needs the lab's runtime, there is none in {runtime}",
            hint=f"make it: bash {INSTALLER} {runtime}; or do without a model: --no-model",
        )
    _usable(base)
    with exclusive(base, create=True):
        existing = find(base)
        if existing and (running := inits(existing.nodes)):
            return _same(existing, count, set(running))
        _remove(base)  # what a crash or a reboot left
        try:
            return _make(count, base, runtime, cache, model=model)
        except BaseException:
            _remove(base)
            with suppress(OSError):  # the cause is worth more than an empty folder
                base.rmdir()
            raise


def _usable(base: Path) -> None:
    """Whoever names a folder of theirs must not lose it to `lab down`."""
    if not base.exists() or (base / STATE).exists():
        return
    found = "a file" if not base.is_dir() else "other files in it" if any(base.iterdir()) else ""
    if found:
        raise UsageError(
            f"wanted an empty or no folder for the lab at {base}, found {found}",
            hint="give another one with --dir",
        )
    if any(c in str(base) for c in ",:\\\n"):
        raise UsageError(f"an overlay's path has no comma, colon or backslash, found {base}")


def _same(existing: Lab, count: int, running: set[str]) -> Lab:
    have, base = len(existing.nodes), existing.base
    again = f"`sparkctl lab down --dir {base}`, then up again"
    if have != count:
        raise SparkctlError(f"a lab of {have} nodes is up in {base}, wanted {count}", hint=again)
    if dead := [n.name for n in existing.nodes if n.name not in running]:
        raise SparkctlError(f"the lab in {base} has lost {', '.join(dead)}", hint=again)
    return existing


def _make(count: int, base: Path, runtime: Path, cache: Path, *, model: bool) -> Lab:
    with in_turn():  # another lab that is made now must not find the same subnet free
        subnet = network.free_subnet(base)
        (base / STATE).write_text(json.dumps({"nodes": count, "subnet": subnet}))
        lab = Lab(base, [NodeSpec(n, base, subnet) for n in range(1, count + 1)])
        network.make(lab.nodes)
    cache.mkdir(parents=True, exist_ok=True)
    shares = {inventory.CACHE: cache}
    if model:
        ensure_model(cache / "model", runtime)
        shutil.copytree(cache / "model", base / "model")
        shares |= {p: p for p in (base / "model", runtime)}
    node.keygen(base / "client_key")
    authorized = (base / "client_key.pub").read_text()
    hosts = "".join(f"{n.address} {n.name}\n" for n in lab.nodes)
    known, started = "", []
    for each in lab.nodes:
        key = node.prepare(each, hosts=hosts, authorized=authorized)
        known += f"{each.address} {key}\n"
        started.append((each, node.start(each, shares, cabled=count > 1)))
    (base / "known_hosts").write_text(known)
    lab.inventory.write_text(inventory.text(lab.nodes, base=base, runtime=runtime))
    for each, process in started:
        node.wait(each, process)
    return lab


def down(base: Path) -> list[str]:
    """Remove everything of the lab, also what a crash left; gives what was there.

    Raises SparkctlError when a process does not end.
    """
    require_root()
    base = base.resolve()
    if not base.is_dir():
        return _remove(base)
    with exclusive(base, create=False):
        removed = _remove(base)
        if not any(base.iterdir()):
            base.rmdir()
            removed.append(str(base))
    return removed


def _remove(base: Path) -> list[str]:
    """All but the folder itself, whose content goes only if a lab made it."""
    count = end(lambda: processes(base))
    removed = [f"{count} processes"] if count else []
    removed += network.remove(base)
    if (base / STATE).exists():
        for path in base.iterdir():
            if path.name == STATE:
                continue  # the last to go: an interrupted removal can go on
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        (base / STATE).unlink()
    return removed


def status(base: Path) -> dict[str, Any] | None:
    """The lab as JSON; None when there is none."""
    lab = find(base)
    if lab is None:
        return None
    running = inits(lab.nodes)
    return {
        "base": str(lab.base),
        "inventory": str(lab.inventory),
        "nodes": [
            {
                "name": n.name,
                "address": n.address,
                "fabric": {h.interface: n.fabric_address(h) for h in CABLED}
                if len(lab.nodes) > 1
                else {},
                "netns": n.netns,
                "pid": running.get(n.name),
                "ssh": n.name in running and node.answers(n),
            }
            for n in lab.nodes
        ],
        "faults": [{"name": a.fault, "node": a.node} for a in journal.read(lab.base)],
        "imitated": list(IMITATED),
    }
