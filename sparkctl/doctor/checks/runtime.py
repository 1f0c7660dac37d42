"""Python, Ray and vLLM on the nodes: installed, importable, the same everywhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.doctor import applies
from sparkctl.doctor.check import Check, Source, per_node
from sparkctl.doctor.finding import Evidence, Finding, fail, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy, command
from sparkctl.facts.unread import Missing, known, required
from sparkctl.plan.outline import outline

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.groups import Runtime

# From this version on vLLM's Ray executor (V2) keeps what a node has set itself; V1 overwrote it
# with the head's NCCL_*, UCX_* and VLLM_* (vLLM 0.17 to 0.32 have both).
CARRIES_PER_NODE = (0, 22, 1)
# What must be equal besides the engine's packages: Ray's workers refuse another Python (Ray 2.60,
# run); ranks with another NCCL hang (reports of DGX Spark users).
PYTHON = "Python"
NCCL = ("nvidia_nccl_cu12", "nvidia_nccl_cu13")  # a build for the CPU has none


def present(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The virtual environment exists, with the programs that this node runs."""
    found = known(snapshot.facts(name).runtime)
    venv = found.venv
    remedy = Remedy(
        f"run `sparkctl node install --node {name}`, which makes {venv} there, or set runtime.venv"
    )
    if not found.exists:
        yield fail(
            f"no virtual environment at {venv}",
            Evidence("a virtual environment", "none", f"{venv}/bin/python"),
            remedy,
            code="no-runtime",
            data={"path": venv},
        )
        return
    gaps = [f for program in _programs(snapshot, name) for f in _program(found, program, remedy)]
    yield from gaps
    yield from _old_vllm(found)
    if not gaps:
        versions = ", ".join(f"{k} {v}" for k, v in found.versions.items())
        yield ok(f"Python {required(found.python, 'runtime.python')}, {versions}")


def _programs(snapshot: Snapshot, name: str) -> list[str]:
    """The programs of the virtual environment that a node's units run."""
    view, folder = snapshot.inventory.views[0], f"{snapshot.inventory.runtime.venv}/bin/"
    started = [unit.program.argv[0] for unit in outline(view).values() if unit.node == name]
    return list(dict.fromkeys(p.removeprefix(folder) for p in started if p.startswith(folder)))


def _program(found: Runtime, program: str, remedy: Remedy) -> Iterator[Finding]:
    """What is missing of a program: its file, or its version."""
    path = f"{found.venv}/bin/{program}"
    if not required(found.programs.get(program), f"runtime.programs.{program}"):
        yield fail(
            f"no {program} in {found.venv}/bin",
            Evidence(f"{program}, executable", "none", path),
            remedy,
            code="no-program",
            data={"program": program, "path": path},
        )
    elif program not in found.versions:
        yield unknown(
            f"the version of {program} could not be read; {found.venv} has no metadata of it",
            data={"package": program},
        )


def _old_vllm(found: Runtime) -> Iterator[Finding]:
    version = found.versions.get("vllm")
    if not version or _numbers(version) >= CARRIES_PER_NODE:
        return
    oldest = ".".join(map(str, CARRIES_PER_NODE))
    yield warn(
        f"vLLM {version} overwrites each worker's NCCL and VLLM settings with the head's",
        Evidence(f"{oldest} or newer", version, f"the metadata in {found.venv}"),
        Remedy(
            "install a newer vLLM, or name the variables that differ between nodes in"
            " ray_non_carry_over_env_vars.json of VLLM_CONFIG_ROOT"
        ),
        code="old-vllm",
        data={"expected": oldest, "got": version},
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:3])


def imports(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """Ray, torch and vLLM can be imported: their binaries are compatible."""
    found = snapshot.seen(snapshot.looks.imports, name)
    venv = known(snapshot.facts(name).runtime).venv
    broken = {module: answer.error for module, answer in found.items() if answer.error}
    for module, error in broken.items():
        statement = f"import {module}"
        yield fail(
            f"{module} cannot be imported: {error}",
            Evidence(f"{statement} works", error, command(f"{venv}/bin/python", "-c", statement)),
            Remedy(
                f"run `sparkctl node install --node {name}`, which installs versions that match, in"
                f" place of {venv}"
            ),
            code="import-failed",
            data={"module": module, "error": error},
        )
    untried = [module for module in snapshot.engine.judged.modules if module not in found]
    if untried:
        yield unknown(f"not tried: import of {', '.join(untried)}", data={"modules": untried})
    elif not broken:
        yield ok(", ".join(f"{m} {a.version or ''}".strip() for m, a in found.items()))


def versions(snapshot: Snapshot) -> Iterator[Finding]:
    """All nodes have the head's Python and packages, to the patch level."""
    expected = _installed(snapshot, snapshot.inventory.head.name)
    yield from per_node(snapshot, lambda name: _differences(snapshot, name, expected))


def _installed(snapshot: Snapshot, name: str) -> Mapping[str, str]:
    """The versions of Python and each package on a node. Raises Missing if there are none."""
    found = known(snapshot.facts(name).runtime)
    if not found.exists:
        raise Missing(f"{name} has no virtual environment at {found.venv}", what="runtime")
    if not found.versions:
        raise Missing(f"{name} has no metadata of packages at {found.venv}", what="runtime")
    return {PYTHON: required(found.python, "runtime.python"), **found.versions}


def _differences(snapshot: Snapshot, name: str, expected: Mapping[str, str]) -> Iterator[Finding]:
    head = snapshot.inventory.head.name
    if name == head:
        return
    venv, found = known(snapshot.facts(name).runtime).venv, _installed(snapshot, name)
    needed = snapshot.engine.judged.packages
    equal = (PYTHON, *needed, *NCCL)
    different = [package for package in equal if expected.get(package) != found.get(package)]
    for package in different:
        pair = expected.get(package), found.get(package)
        yield _different(name, head, venv, package, pair)
    unknowns = [n for n in needed if n not in expected and n not in found]
    for package in unknowns:
        yield unknown(
            f"neither {name} nor {head} has metadata of {package}",
            node=name,
            data={"package": package},
        )
    if not different and not unknowns:
        yield ok(f"same versions as {head}", node=name)


def _different(
    name: str, head: str, venv: str, package: str, pair: tuple[str | None, str | None]
) -> Finding:
    expected, got = pair
    pinned = expected and package != PYTHON
    install = command(f"{venv}/bin/pip", "install", f"{package}=={expected}")
    return fail(
        f"{package} is {got or 'absent'}, but {expected or 'absent'} on the head {head}",
        Evidence(expected or "absent", got or "absent", venv),
        Remedy(f"install the same {package} on every node", (install,) if pinned else ()),
        node=name,
        code="version-differs",
        data={"package": package, "expected": expected, "got": got},
    )


CHECKS = (
    Check("runtime.present", "node", present, preflight=True, lacks=applies.packages),
    Check("runtime.imports", "node", imports, needs=(Source.IMPORTS,), lacks=applies.modules),
    Check("runtime.versions", "cluster", versions, preflight=True, lacks=applies.packages),
)
