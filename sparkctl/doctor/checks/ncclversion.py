"""Whether the ranks' NCCL is known to hang with the planned arguments of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor import applies
from sparkctl.doctor.check import Check
from sparkctl.doctor.checks.builds import CURED, WHEEL, Library, builds, install
from sparkctl.doctor.checks.libnccl import loaded
from sparkctl.doctor.finding import Evidence, Finding, info, ok, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.engines.vllm.placement import spans_nodes
from sparkctl.facts.unread import known
from sparkctl.text import keyed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.engines.engine import Graphs

# A replayed CUDA graph with collectives between nodes hung within three requests with HANGS, and
# ran with CURED on the same two DGX Sparks (vllm-project/vllm issue 52504). Of the versions between
# them nothing is known.
HANGS = "2.28.9"


def nccl(snapshot: Snapshot) -> Iterator[Finding]:
    """No NCCL that hangs with CUDA graphs carries graphs between nodes."""
    if not any(loaded(snapshot, name) for name in snapshot.known):  # else see running.libnccl
        installed = {name: _installed(snapshot, name) for name in snapshot.known}
        yield from builds(snapshot, installed, "the runtime's packages, readelf -n")
    used = {name: _versions(snapshot, name) for name in snapshot.known}
    if not any(used.values()):
        text = f"no nvidia-nccl package on {', '.join(used)}, and no rank with libnccl"
        yield info(text, code="no-nccl", data={"nodes": [*used]})
        return
    hanging = [name for name, versions in used.items() if HANGS in versions]
    if not hanging or not spans_nodes(snapshot.inventory):
        yield ok(", ".join(sorted({v for versions in used.values() for v in versions})))
        return
    graphs = snapshot.engine.judged.graphs
    if graphs and _has_graphs(snapshot, graphs):
        yield _hangs(snapshot, graphs, {name: used[name][HANGS] for name in hanging})
    else:
        yield ok(f"{HANGS}, and {snapshot.engine.title} captures no CUDA graphs")


def _installed(snapshot: Snapshot, name: str) -> Sequence[Library]:
    """The libnccl files of a node's runtime."""
    files = known(snapshot.facts(name).runtime).nccl or {}
    return [Library(path, file.version, file.build) for path, file in files.items()]


def _has_graphs(snapshot: Snapshot, graphs: Graphs) -> bool:
    """Whether CUDA graphs are captured. Raises Missing if the recipe decides it and is unknown."""
    inventory = snapshot.inventory
    arguments = inventory.vllm.arguments
    if not graphs.captured(arguments):  # the inventory turns them off, whatever the recipe says
        return False
    defaults = snapshot.engine.recipe(inventory, snapshot.facts(inventory.head.name)).defaults
    return graphs.captured({**defaults, **arguments})


def _versions(snapshot: Snapshot, name: str) -> Mapping[str, str]:
    """The versions of NCCL on a node, and where each was read: what its ranks have loaded, else
    what the runtime has.
    """
    files = loaded(snapshot, name) or _installed(snapshot, name)
    if found := {file.version: file.path for file in files if file.version}:
        return found
    runtime = known(snapshot.facts(name).runtime)
    wheels = ((p, v) for p, v in runtime.versions.items() if p.startswith(WHEEL))
    return {version: f"{runtime.place}, {package}" for package, version in wheels}


def _hangs(snapshot: Snapshot, graphs: Graphs, where: Mapping[str, str]) -> Finding:
    listed = "; ".join(f"{name}: {place}" for name, place in where.items())
    return warn(
        f"NCCL {HANGS} may hang within a few requests: {snapshot.engine.title} captures CUDA"
        " graphs, and its ranks are on several nodes",
        Evidence(f"{CURED}, or no CUDA graphs", HANGS, listed),
        Remedy(
            f"install NCCL {CURED} in the runtime of every node, or set"
            f" {keyed(graphs.off, snapshot.inventory.key)}; then restart the cluster",
            install(snapshot, next(iter(where))),
        ),
        code="graphs-hang",
        data={"got": HANGS, "nodes": [*where], "expected": CURED},
    )


CHECKS = (Check("runtime.nccl", "cluster", nccl, lacks=applies.packages),)
