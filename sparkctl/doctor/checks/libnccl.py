"""Which libnccl the running ranks have loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.cluster.placement import spans_nodes
from sparkctl.doctor.check import Check
from sparkctl.doctor.checks.running import RESTART, idle
from sparkctl.doctor.finding import Evidence, Finding, fail, info, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.processes import Build

MAPS = "/proc/PID/maps"
# The beginning of the Build ID of nvidia-nccl-cu13's 2.28.9 for aarch64. On pairs of DGX Sparks it
# hung after 20 to 26 minutes of load, with or without CUDA graphs; DGX OS's build of 2.28.9 ran
# (vllm-project/vllm issues 41725, 42354).
HANGS = "a7f420a1"


class Library(NamedTuple):
    """A libnccl that is loaded; None is unknown."""

    path: str
    version: str | None
    build: Build | None

    def __str__(self) -> str:
        return f"{self.version or 'unknown version'} ({self.path})"

    @property
    def exactly(self) -> str:
        """With its build."""
        return f"{self.version} ({self.path}, {self.build})"

    @property
    def hangs(self) -> bool:
        """Whether it is the build that is known to."""
        return self.build is not None and (self.build.id or "").startswith(HANGS)


def without_nccl(snapshot: Snapshot) -> Finding | None:
    """INFO if vLLM is not running, or runs without NCCL."""
    if nothing := idle(snapshot, "vllm"):
        return nothing
    # Maps that could not be read do not prove a build without NCCL.
    if not any(loaded(snapshot, n) or _unread(snapshot, n) for n in snapshot.known):
        return info(
            "no rank has loaded libnccl; this vLLM does not use NCCL, as its CPU build",
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
    yield from _builds(snapshot, found)
    yield from _hanging(snapshot, found)


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
    builds = [str(file.build) for file in files if file.build]
    return ok(_listed(files), node=name, data={"builds": builds})


def _builds(snapshot: Snapshot, found: Mapping[str, Sequence[Library]]) -> Iterator[Finding]:
    """Builds of one version that differ, among nodes of the same architecture."""
    groups: dict[tuple[str, str], list[tuple[str, Library]]] = {}
    for name, files in found.items():
        for file in files:
            if file.version and file.build:
                group = (snapshot.facts(name).machine, file.version)
                groups.setdefault(group, []).append((name, file))
    for (_, version), members in groups.items():
        if len({file.build for _, file in members}) > 1:
            yield _different(version, members)


def _different(version: str, members: Sequence[tuple[str, Library]]) -> Finding:
    listed = [f"{name}: {file.exactly}" for name, file in members]
    nodes = list(dict.fromkeys(name for name, _ in members))
    return warn(
        f"the ranks have loaded different builds of libnccl {version}, which may hang after 20"
        f" minutes: {'; '.join(listed)}",
        Evidence("one build on all nodes", "; ".join(listed), f"{MAPS}, readelf -n"),
        Remedy(
            "load the same file on every node: install the same nvidia-nccl package, and remove"
            " LD_PRELOAD and LD_LIBRARY_PATH where they name another",
            RESTART,
        ),
        node=nodes[0] if len(nodes) == 1 else None,
        code="builds-differ",
        data={
            "version": version,
            "nodes": nodes,
            "paths": [file.path for _, file in members],
            "builds": [str(file.build) for _, file in members],
        },
    )


def _hanging(snapshot: Snapshot, found: Mapping[str, Sequence[Library]]) -> Iterator[Finding]:
    """The build that is known to hang, where ranks of several nodes use it."""
    hanging = {name: file for name, files in found.items() for file in files if file.hangs}
    if not hanging or not spans_nodes(snapshot.inventory):
        return
    nodes, file = [*hanging], next(iter(hanging.values()))
    yield warn(
        f"this build of libnccl hung between DGX Sparks after 20 minutes of load: {file.exactly}",
        Evidence("another build", str(file.build), f"{MAPS}, readelf -n"),
        Remedy(
            "install NCCL 2.30.4 in the runtime of every node, or load DGX OS's libnccl2 on every"
            " node: both ran where this build hung",
            RESTART,
        ),
        code="hanging-build",
        data={"nodes": nodes, "path": file.path, "build": str(file.build)},
    )


def _versions(files: Iterable[Library]) -> set[str]:
    return {file.version for file in files if file.version}


def _listed(files: Iterable[Library]) -> str:
    return ", ".join(map(str, files))


CHECKS = (Check("running.libnccl", "cluster", libnccl),)
