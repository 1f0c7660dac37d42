"""What a report says of each node: what it is, and whether it was reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.facts.unread import Unread
from sparkctl.output.report.verdict import BAD

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.node import NodeFacts
    from sparkctl.inventory.models import Node

GIB = 2**30
ENGINES = ("vllm", "sglang", "ray", "torch")  # packages that matter
NCCL = "nvidia_nccl"  # how NCCL's wheels are called, whatever CUDA they are for
SHOWN = ("gpu", "system", "memory", "runtime")  # groups that have rows of their own
WITHHELD = "withheld: the accounts could not be read"


@dataclass(frozen=True)
class Card:
    """A node: `reached` and why not, what is known of it by title, and what fails there."""

    name: str
    role: str
    reached: bool
    access: str
    rows: tuple[tuple[str, str], ...]
    failed: str


def cards(snapshot: Snapshot, findings: Sequence[Finding], withheld: Collection[str]) -> list[Card]:
    """A card for each node of the inventory; what the nodes `withheld` answered is left out."""
    return [_card(snapshot, node, findings, withheld) for node in snapshot.inventory.nodes]


def _card(
    snapshot: Snapshot, node: Node, findings: Sequence[Finding], withheld: Collection[str]
) -> Card:
    facts = snapshot.all_facts.get(node.name)
    shown = facts if node.name not in withheld else None
    bad = sum(f.severity in BAD and f.node == node.name for f in findings)
    return Card(
        node.name,
        _role(snapshot, node),
        facts is not None,
        _access(snapshot, node.name, withheld),
        tuple(_rows(shown)) if shown else (),
        f"{bad} failed" if bad else "",
    )


def _role(snapshot: Snapshot, node: Node) -> str:
    view = snapshot.inventory.view_of(node)
    if view is None:
        return "no service"
    role = "head" if node.name == view.head.name else "worker"
    return f"{role} of {view.service}" if snapshot.inventory.services else role


def _access(snapshot: Snapshot, name: str, withheld: Collection[str]) -> str:
    """Whether a node was reached, or why not."""
    if error := snapshot.errors.get(name):
        return f"not reached: {error.message}"
    if name in snapshot.unreadable:
        return "reached, but its facts could not be read"
    if name not in snapshot.all_facts:
        return "not asked"
    login = snapshot.login.get(name)
    said = "reached" if login is None else f"reached, login in {login:.1f} s"
    return f"{said}; {WITHHELD}" if name in withheld else said


def _rows(facts: NodeFacts) -> Iterator[tuple[str, str]]:
    gpu, system, memory = facts.gpu, facts.system, facts.memory
    if isinstance(gpu, Unread):
        yield "GPU", str(gpu)
    elif not gpu.gpus:
        yield "GPU", gpu.gpu_error or "none"
    else:
        yield "GPU", _alike(one.name for one in gpu.gpus)
        yield "driver", _alike(one.driver for one in gpu.gpus)
    kernel = str(system) if isinstance(system, Unread) else system.kernel
    yield "kernel", kernel or "could not be read"
    yield "system", f"{facts.os}, {facts.machine}, Python {facts.python}"
    yield "memory", str(memory) if isinstance(memory, Unread) else _memory(memory)
    yield from _installed(facts)
    gaps = [gap for gap in facts.gaps.values() if gap.what not in SHOWN and gap.kind != "unasked"]
    if gaps:
        yield "unread", "; ".join(map(str, gaps))


def _memory(memory: Mapping[str, int]) -> str:
    total, free = memory.get("MemTotal"), memory.get("MemAvailable")
    if total is None or free is None:
        return "could not be read"
    return f"{total / GIB:.0f} GiB, {free / GIB:.0f} GiB available"


def _alike(names: Iterable[str]) -> str:
    every = list(names)
    counts = {name: every.count(name) for name in every}
    return ", ".join(f"{n} of {name}" if n > 1 else name for name, n in counts.items())


def _installed(facts: NodeFacts) -> Iterator[tuple[str, str]]:
    runtime = facts.runtime
    if isinstance(runtime, Unread):
        yield "runtime", str(runtime)
        return
    versions = runtime.versions
    wheels = [version for package, version in versions.items() if package.startswith(NCCL)]
    files = [f.version or "of unknown version" for f in (runtime.nccl or {}).values()]
    yield "NCCL", _alike(wheels or files) or "not found in the runtime"
    found = [f"{name} {versions[name]}" for name in ENGINES if name in versions]
    missing = "" if runtime.exists else "missing"
    yield "runtime", f"{runtime.place}: {', '.join(found) or missing or 'no engine found'}"
