"""Which libnccl the running ranks have loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.check import Check
from sparkctl.doctor.checks.running import idle
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown
from sparkctl.doctor.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.doctor.snapshot import Snapshot

    Files = Mapping[str, str | None]  # the version of each, None where it is not known

MAPS = "/proc/PID/maps"


def without_nccl(snapshot: Snapshot) -> Finding | None:
    """INFO if vLLM is not running, or runs without NCCL."""
    if nothing := idle(snapshot, "vllm"):
        return nothing
    # Maps that could not be read do not prove a build without NCCL.
    if not any(_loaded(snapshot, n) or _unread(snapshot, n) for n in snapshot.known):
        return info(
            "no rank has loaded libnccl; this vLLM does not use NCCL, as its CPU build",
            node=snapshot.inventory.head.name,
            code="no-nccl",
        )
    return None


def _loaded(snapshot: Snapshot, name: str) -> Files:
    """The libnccl files that a node's ranks map."""
    return {f: v for p in snapshot.running(name) for f, v in (p.libraries or {}).items()}


def _unread(snapshot: Snapshot, name: str) -> list[int]:
    """The pids of ranks whose maps could not be read."""
    return [p.pid for p in snapshot.running(name) if p.libraries is None]


def libnccl(snapshot: Snapshot) -> Iterator[Finding]:
    """Every rank has loaded the same libnccl: two versions hang after 20 to 60 minutes."""
    if nothing := without_nccl(snapshot):
        yield nothing
        return
    loaded = {name: _loaded(snapshot, name) for name in snapshot.known}
    for name, files in loaded.items():
        yield _of_node(name, files, _unread(snapshot, name))
    if len({version for files in loaded.values() for version in _versions(files)}) > 1:
        listed = [f"{name}: {_listed(files)}" for name, files in loaded.items() if files]
        yield fail(
            f"the nodes have loaded different versions of libnccl: {'; '.join(listed)}",
            Evidence("one version on all nodes", "; ".join(listed), MAPS),
            Remedy("install the same runtime on every node"),
            code="nodes-differ",
            data={"got": listed},
        )


def _of_node(name: str, files: Files, unread: list[int]) -> Finding:
    versions = _versions(files)
    if len(versions) > 1:
        return fail(
            f"the ranks have loaded two versions of libnccl: {_listed(files)}",
            Evidence("one version", _listed(files), MAPS),
            Remedy(
                "keep the runtime's: drop LD_PRELOAD, or remove the system's",
                ("sudo apt-get remove libnccl2",),
            ),
            node=name,
            code="ranks-differ",
            data={"got": sorted(versions)},
        )
    if unread:
        pid = unread[0]
        return unknown(f"the maps of pid {pid} could not be read", node=name, data={"pid": pid})
    if not files:
        return unknown("no rank of this node has loaded libnccl", node=name, code="not-loaded")
    if nameless := [file for file, version in files.items() if version is None]:
        return unknown(
            f"the version of {nameless[0]} could not be read; it may have been replaced since it"
            " was loaded",
            node=name,
            data={"path": nameless[0]},
        )
    return ok(_listed(files), node=name)


def _versions(files: Files) -> set[str]:
    return {version for version in files.values() if version}


def _listed(files: Files) -> str:
    return ", ".join(f"{version or 'unknown version'} ({file})" for file, version in files.items())


CHECKS = (Check("running.libnccl", "cluster", libnccl),)
