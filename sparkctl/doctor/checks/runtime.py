"""Python, Ray and vLLM on the nodes: installed, importable, the same everywhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.doctor import applies, boxes
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
RAY, MP = "ray", "mp"  # a program, and the executor without it
NCCL = ("nvidia_nccl_cu12", "nvidia_nccl_cu13")  # a build for the CPU has none


def present(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The runtime exists, with the programs that this node runs."""
    found = known(snapshot.facts(name).runtime)
    if not found.exists and found.image:
        raise Missing(f"{name} does not have the image {found.image}", what="runtime")
    if not found.exists:
        yield fail(
            f"no virtual environment at {found.venv}",
            Evidence("a virtual environment", "none", f"{found.venv}/bin/python"),
            _make(name, found),
            code="no-runtime",
            data={"path": found.venv},
        )
        return
    if found.image and found.python is None:
        yield _no_python(found.image)
        return
    needed = _programs(snapshot, name, found)
    gaps = [f for program in needed for f in _program(snapshot, name, found, program)]
    yield from gaps
    yield from _old_vllm(found)
    if not gaps:
        versions = ", ".join(f"{k} {v}" for k, v in found.versions.items())
        yield ok(f"Python {required(found.python, 'runtime.python')}, {versions}")


def _no_python(image: str) -> Finding:
    return fail(
        f"the image {image} has no python3, which sparkctl and the engines need",
        Evidence("python3 on the PATH", "none", f"the PATH of {image}"),
        Remedy("name an image of the engine, which has it"),
        code="no-python",
        data={"image": image},
    )


def _make(name: str, found: Runtime) -> Remedy:
    return Remedy(
        f"run `sparkctl node install`, which makes {found.venv}, or set runtime.venv",
        (_install(name),),
    )


def _install(name: str) -> str:
    return command("sparkctl", "node", "install", "--node", name)


def _programs(snapshot: Snapshot, name: str, found: Runtime) -> list[str]:
    """The programs of the runtime that a node's units run."""
    view = snapshot.inventory.views[0]
    started = [unit.program.argv[0] for unit in outline(view).values() if unit.node == name]
    if found.image:
        return list(dict.fromkeys(p for p in started if p in found.programs))
    folder = f"{view.runtime.venv}/bin/"
    return list(dict.fromkeys(p.removeprefix(folder) for p in started if p.startswith(folder)))


def _program(snapshot: Snapshot, name: str, found: Runtime, program: str) -> Iterator[Finding]:
    """What is missing of a program: its file, or its version."""
    folder = f"the PATH of {found.image}" if found.image else f"{found.venv}/bin"
    path = program if found.image else f"{found.venv}/bin/{program}"
    if not required(found.programs.get(program), f"runtime.programs.{program}"):
        yield fail(
            f"no {program} in {folder}",
            Evidence(f"{program}, executable", "none", folder if found.image else path),
            _with(snapshot, program) if found.image else _make(name, found),
            code="no-program",
            data={"program": program, "path": path},
        )
    elif program not in found.versions:
        yield unknown(
            f"the version of {program} could not be read; {found.place} has no metadata of it",
            data={"package": program},
        )


def _with(snapshot: Snapshot, program: str) -> Remedy:
    """How a service gets an image that has a program, or does without."""
    image = f"name an image that has {program}, or add it by a Dockerfile line: RUN pip install"
    if program == RAY and MP in snapshot.engine.executors:
        key = f"{snapshot.inventory.key}.executor"
        return Remedy(f"run vLLM without Ray, with {key}: {MP}; or {image} ray")
    return Remedy(f"{image} {program}")


def _old_vllm(found: Runtime) -> Iterator[Finding]:
    version = found.versions.get("vllm")
    if not version or _numbers(version) >= CARRIES_PER_NODE:
        return
    oldest = ".".join(map(str, CARRIES_PER_NODE))
    yield warn(
        f"vLLM {version} overwrites each worker's NCCL and VLLM settings with the head's",
        Evidence(f"{oldest} or newer", version, f"the metadata in {found.place}"),
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
    runtime = known(snapshot.facts(name).runtime)
    python = "python3" if runtime.image else f"{runtime.venv}/bin/python"
    broken = {module: answer.error for module, answer in found.items() if answer.error}
    for module, error in broken.items():
        statement = f"import {module}"
        yield fail(
            f"{module} cannot be imported: {error}",
            Evidence(f"{statement} works", error, command(python, "-c", statement)),
            _matching(name, runtime),
            code="import-failed",
            data={"module": module, "error": error},
        )
    untried = [module for module in snapshot.engine.judged.modules if module not in found]
    if untried:
        yield unknown(f"not tried: import of {', '.join(untried)}", data={"modules": untried})
    elif not broken:
        yield ok(", ".join(f"{m} {a.version or ''}".strip() for m, a in found.items()))


def _matching(name: str, runtime: Runtime) -> Remedy:
    if runtime.image:
        return Remedy("name an image whose torch and engine match")
    return Remedy(
        f"run `sparkctl node install`, which puts versions that match in place of {runtime.venv}",
        (_install(name),),
    )


def versions(snapshot: Snapshot) -> Iterator[Finding]:
    """All nodes have the head's Python and packages, to the patch level."""
    expected = _installed(snapshot, snapshot.inventory.head.name)
    yield from per_node(snapshot, lambda name: _differences(snapshot, name, expected))


def _installed(snapshot: Snapshot, name: str) -> Mapping[str, str]:
    """The versions of Python and each package on a node. Raises Missing if there are none."""
    found = known(snapshot.facts(name).runtime)
    if not found.exists:
        what = f"image {found.image}" if found.image else f"virtual environment at {found.venv}"
        raise Missing(f"{name} has no {what}", what="runtime")
    if not found.versions:
        raise Missing(f"{name} has no metadata of packages in {found.place}", what="runtime")
    return {PYTHON: required(found.python, "runtime.python"), **found.versions}


def _differences(snapshot: Snapshot, name: str, expected: Mapping[str, str]) -> Iterator[Finding]:
    head = snapshot.inventory.head.name
    if name == head:
        return
    runtime, found = known(snapshot.facts(name).runtime), _installed(snapshot, name)
    needed = snapshot.engine.judged.packages
    equal = (PYTHON, *needed, *NCCL)
    different = [package for package in equal if expected.get(package) != found.get(package)]
    for package in different:
        pair = expected.get(package), found.get(package)
        yield _different(snapshot, name, runtime, package, pair)
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
    snapshot: Snapshot,
    name: str,
    runtime: Runtime,
    package: str,
    pair: tuple[str | None, str | None],
) -> Finding:
    head, (expected, got) = snapshot.inventory.head.name, pair
    return fail(
        f"{package} is {got or 'absent'}, but {expected or 'absent'} on the head {head}",
        Evidence(expected or "absent", got or "absent", runtime.place),
        _same(runtime, package, expected, boxes.sync(snapshot, head)),
        node=name,
        code="version-differs",
        data={"package": package, "expected": expected, "got": got},
    )


def _same(runtime: Runtime, package: str, expected: str | None, sync: str) -> Remedy:
    if runtime.image:
        return Remedy("copy the head's image to all nodes", (sync,))
    if package == PYTHON:
        text = "run `sparkctl node install`, which gives all nodes of a service one Python"
        return Remedy(text, ("sparkctl node install",))
    install = command(f"{runtime.venv}/bin/pip", "install", f"{package}=={expected}")
    return Remedy(f"install the same {package} on every node", (install,) if expected else ())


CHECKS = (
    Check("runtime.present", "node", present, preflight=True, lacks=applies.packages),
    Check("runtime.imports", "node", imports, needs=(Source.IMPORTS,), lacks=applies.modules),
    Check("runtime.versions", "cluster", versions, preflight=True, lacks=applies.packages),
)
