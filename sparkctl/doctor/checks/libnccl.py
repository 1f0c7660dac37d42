"""Which libnccl the running ranks have loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor import applies
from sparkctl.doctor.check import Check
from sparkctl.doctor.checks.builds import Library, builds
from sparkctl.doctor.checks.running import idle
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown
from sparkctl.doctor.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sparkctl.doctor.snapshot import Snapshot

MAPS = "/proc/PID/maps"


def without_nccl(snapshot: Snapshot) -> Finding | None:
    """INFO if the engine is not running, or runs without NCCL."""
    if nothing := idle(snapshot):
        return nothing
    # Maps that could not be read do not prove a build without NCCL.
    if not any(loaded(snapshot, n) or _unread(snapshot, n) for n in snapshot.known):
        return info(
            "no rank has loaded libnccl;"
            f" this {snapshot.engine.title} does not use NCCL, as its CPU build",
            node=snapshot.inventory.head.name,
            code="no-nccl",
        )
    return None


def loaded(snapshot: Snapshot, name: str) -> Sequence[Library]:
    """The libnccl files that a node's ranks map; in containers one path may be two files."""
    found = (
        Library(path, version, (p.builds or {}).get(path))
        for p in snapshot.running(name)
        for path, version in (p.libraries or {}).items()
    )
    return list(dict.fromkeys(found))


def _unread(snapshot: Snapshot, name: str) -> list[int]:
    """The pids of ranks whose maps could not be read."""
    return [p.pid for p in snapshot.running(name) if p.libraries is None]


def libnccl(snapshot: Snapshot) -> Iterator[Finding]:
    """Every rank has loaded the same libnccl: two versions hang after 20 to 60 minutes, and so may
    two builds of one version.
    """
    if nothing := without_nccl(snapshot):
        yield nothing
        return
    found = {name: loaded(snapshot, name) for name in snapshot.known}
    for name, files in found.items():
        yield _of_node(name, files, _unread(snapshot, name))
    if len({version for files in found.values() for version in _versions(files)}) > 1:
        listed = [f"{name}: {_listed(files)}" for name, files in found.items() if files]
        yield fail(
            f"the nodes have loaded different versions of libnccl: {'; '.join(listed)}",
            Evidence("one version on all nodes", "; ".join(listed), MAPS),
            Remedy("install the same runtime on every node"),
            code="nodes-differ",
            data={"got": listed},
        )
    yield from builds(snapshot, found, f"{MAPS}, readelf -n")


def _of_node(name: str, files: Sequence[Library], unread: list[int]) -> Finding:
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
    if nameless := [file.path for file in files if file.version is None]:
        return unknown(
            f"the version of {nameless[0]} could not be read; it may have been replaced since it"
            " was loaded",
            node=name,
            data={"path": nameless[0]},
        )
    known = [str(file.build) for file in files if file.build]
    return ok(_listed(files), node=name, data={"builds": known})


def _versions(files: Iterable[Library]) -> set[str]:
    return {file.version for file in files if file.version}


def _listed(files: Iterable[Library]) -> str:
    return ", ".join(map(str, files))


CHECKS = (Check("running.libnccl", "cluster", libnccl, lacks=applies.ranks),)
