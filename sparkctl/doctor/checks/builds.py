"""Builds of one version of libnccl: those that differ, and one that hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.doctor.finding import Evidence, Finding, warn
from sparkctl.doctor.remedy import RESTART, Remedy, command
from sparkctl.engines.vllm.placement import spans_nodes
from sparkctl.facts.unread import Unread

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.groups import Build

# The beginning of the Build ID of nvidia-nccl-cu13's 2.28.9 for aarch64. On pairs of DGX Sparks it
# hung after 20 to 26 minutes of load, with or without CUDA graphs; DGX OS's build of 2.28.9 ran
# (vllm-project/vllm issues 41725, 42354).
HANGS = "a7f420a1"
# A version that ran where 2.28.9 hung (vllm-project/vllm issues 42354, 52504).
CURED = "2.30.4"
WHEEL = "nvidia_nccl_cu"


class Library(NamedTuple):
    """A libnccl file; None is unknown."""

    path: str
    version: str | None
    build: Build | None

    def __str__(self) -> str:
        return f"{self.version or 'unknown version'} ({self.path})"

    @property
    def exactly(self) -> str:
        """With its build."""
        return f"{self.version or 'unknown version'} ({self.path}, {self.build})"

    @property
    def hangs(self) -> bool:
        """Whether it is the build that is known to."""
        return self.build is not None and (self.build.id or "").startswith(HANGS)


def builds(
    snapshot: Snapshot, found: Mapping[str, Sequence[Library]], where: str
) -> Iterator[Finding]:
    """Builds of one version that differ, among nodes of the same architecture, and the one that
    hangs where ranks of several nodes use it.
    """
    groups: dict[tuple[str, str], list[tuple[str, Library]]] = {}
    for name, files in found.items():
        for file in files:
            if file.version and file.build:
                group = (snapshot.facts(name).machine, file.version)
                groups.setdefault(group, []).append((name, file))
    for (_, version), members in groups.items():
        if len({file.build for _, file in members}) > 1:
            yield _different(version, members, where)
    hanging = {name: file for name, files in found.items() for file in files if file.hangs}
    if hanging and spans_nodes(snapshot.inventory):
        yield _hanging(snapshot, hanging, where)


def install(snapshot: Snapshot, name: str) -> tuple[str, ...]:
    """Commands that install a version that does not hang in the runtime of a node; none if no
    nvidia-nccl package is known there.
    """
    runtime = snapshot.facts(name).runtime
    if isinstance(runtime, Unread) or runtime.venv is None:
        return ()
    wheels = [package for package in runtime.versions if package.startswith(WHEEL)]
    packages = [f"{wheel.replace('_', '-')}=={CURED}" for wheel in wheels]
    return tuple(command(f"{runtime.venv}/bin/pip", "install", package) for package in packages)


def _different(version: str, members: Sequence[tuple[str, Library]], where: str) -> Finding:
    listed = [f"{name}: {file.exactly}" for name, file in members]
    nodes = list(dict.fromkeys(name for name, _ in members))
    return warn(
        f"different builds of libnccl {version} may hang after 20 minutes: {'; '.join(listed)}",
        Evidence("one build on all nodes", "; ".join(listed), where),
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


def _hanging(snapshot: Snapshot, found: Mapping[str, Library], where: str) -> Finding:
    first, file = next(iter(found.items()))
    return warn(
        f"this build of libnccl hung between DGX Sparks after 20 minutes of load: {file.exactly}",
        Evidence("another build", str(file.build), where),
        Remedy(
            f"install NCCL {CURED} in the runtime of every node, or load DGX OS's libnccl2 on every"
            " node: both ran where this build hung",
            (*install(snapshot, first), *RESTART),
        ),
        code="hanging-build",
        data={"nodes": [*found], "path": file.path, "build": str(file.build)},
    )
