"""What has to be done on each node for a virtual environment; pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from sparkctl.doubts import Doubt
from sparkctl.errors import SparkctlError
from sparkctl.node.unitid import service_of
from sparkctl.operations.install.pins import pinned, requirements
from sparkctl.secret.text import command_line
from sparkctl.text import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.engines.engine import Judged
    from sparkctl.facts.installanswers import VenvLooked
    from sparkctl.inventory.models import Node

PYTHON = "python3"  # of a node: DGX OS, an Ubuntu 24.04, has 3.12


@dataclass(frozen=True)
class Asked:
    """What a user asked for: versions by package, an interpreter, and where wheels come from."""

    versions: Mapping[str, str] = field(default_factory=dict)
    python: str = ""
    index_url: str = ""
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False

    @property
    def program(self) -> str:
        """The interpreter's name or path on a node; 3.12 is short for python3.12."""
        return f"python{self.python}" if self.python[:1].isdigit() else self.python or PYTHON

    def environment(self) -> dict[str, str]:
        """The variables of pip and uv: a URL may have a password, which no command line may."""
        more = " ".join(self.extra_index_urls)
        found = {
            **dict.fromkeys(("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), self.index_url),
            **dict.fromkeys(("PIP_EXTRA_INDEX_URL", "UV_INDEX"), more),
            # Without an index nothing that the node's own configuration names is meant either.
            "PIP_CONFIG_FILE": "/dev/null" if self.no_index else "",
            "UV_NO_CONFIG": "1" if self.no_index else "",
        }
        return {name: value for name, value in found.items() if value}

    def options(self) -> list[str]:
        """The options of pip and uv."""
        links = [word for folder in self.find_links for word in ("--find-links", folder)]
        return [*(["--no-index"] if self.no_index else []), *links]


@dataclass(frozen=True)
class Goal:
    """What one node is to have at `venv`: the `versions` of packages, and `modules` to import."""

    node: Node
    unit: str
    venv: str
    versions: Mapping[str, str]
    modules: tuple[str, ...]

    def request(self, asked: Asked, looked: VenvLooked, run: str) -> dict[str, object]:
        """What node/install.py begins with."""
        wheels = [*asked.options(), *requirements(self.versions)]
        spec = json.dumps([looked.base, looked.base_python, wheels])
        return {
            "venv": looked.path,
            "program": looked.base,
            "pip": wheels,
            # Else it would have none, and neither doctor nor a user could add a package.
            "uv": wheels if asked.no_index else [*wheels, "pip"],
            "env": asked.environment(),
            "spec": hashlib.sha256(spec.encode()).hexdigest(),
            "run": run,
            "unit": self.unit,
        }


def goal(node: Node, unit: str, venv: str, judged: Judged, asked: Asked) -> Goal | None:
    """What a node of an engine is to have; None of one that needs no packages."""
    if not judged.packages:
        return None
    return Goal(node, unit, venv, pinned(judged.packages, asked.versions), judged.modules)


@dataclass(frozen=True)
class Step:
    """What is done on a node; `differences` are those of a virtual environment that is replaced."""

    goal: Goal
    looked: VenvLooked
    action: Literal["keep", "install", "replace"]
    differences: tuple[str, ...] = ()

    @property
    def python(self) -> str | None:
        """The version of the Python that it has when this is done."""
        return self.looked.python if self.action == "keep" else self.looked.base_python

    def __str__(self) -> str:
        return f"{self.goal.node.name}: {self.looked.path}: {'; '.join(self.differences)}"


def step(goal: Goal, looked: VenvLooked, asked: Asked, broken: Mapping[str, str]) -> Step:
    """What is done; `broken` says why modules of what is there cannot be imported. Another Python
    than the interpreter's is none of its differences, unless it was asked for: see `same_python`.

    Raises SparkctlError where it cannot be done.
    """
    if looked.kind == "other":
        raise SparkctlError(
            f"{looked.path} exists and is not a virtual environment",
            node=goal.node.name,
            hint="move it away, or set runtime.venv to another path",
            code="venv-foreign",
            data={"path": looked.path},
        )
    found = differences(goal, looked, asked) if looked.kind == "venv" else []
    found += [f"{module} cannot be imported: {why}" for module, why in broken.items()]
    if looked.kind == "venv" and not found:
        return Step(goal, looked, "keep")
    return _built(goal, looked, "replace" if looked.kind == "venv" else "install", found)


def _built(
    goal: Goal, looked: VenvLooked, action: Literal["install", "replace"], found: Sequence[str]
) -> Step:
    _require_possible(goal, looked)
    return Step(goal, looked, action, tuple(found))


def differences(goal: Goal, looked: VenvLooked, asked: Asked) -> list[str]:
    """How a virtual environment differs from what it is to have, which any Python may serve unless
    one was asked for: by 3.12 each 3.12.x.
    """
    there = {"Python": looked.python, **looked.versions}
    versions = {**goal.versions}
    python = asked.python if asked.python[:1].isdigit() else looked.base_python or asked.program
    if not looked.python or (asked.python and not f"{looked.python}.".startswith(f"{python}.")):
        versions = {"Python": python, **versions}
    return [
        f"{name} is {there.get(name) or 'absent'}, expected {version}"
        for name, version in versions.items()
        if not _is(there.get(name), version)
    ]


def _is(found: str | None, version: str) -> bool:
    """Whether a version fulfils `==version` (PEP 440): a local label such as +cu130 is free."""
    return found is not None and version in (found, found.partition("+")[0])


def _require_possible(goal: Goal, looked: VenvLooked) -> None:
    name, path = goal.node.name, looked.path
    if looked.base is None:
        raise SparkctlError(
            "no Python was found to make the virtual environment with",
            node=name,
            hint="name another one with --python, such as --python 3.12",
            code="python-missing",
        )
    if not (looked.ensurepip or looked.uv):
        raise SparkctlError(
            f"{looked.base} has no ensurepip, and uv is not installed",
            node=name,
            hint=f"run `sudo apt install python{_minor(looked)}-venv` there, or install uv",
            code="ensurepip-missing",
            data={"python": looked.base},
        )
    if looked.unwritable:
        raise SparkctlError(
            f"cannot make {path}: {looked.unwritable}",
            node=name,
            hint="set runtime.venv to a path below ~/, or let the ssh user write there",
            code="venv-unwritable",
            data={"path": path},
        )
    if looked.users:
        first = looked.users[0]
        count = len(looked.users)
        what = f"{counted(count, 'process')} {'runs' if count == 1 else 'run'}"
        clusters = sorted({user.cluster for user in looked.users if user.cluster})
        raise SparkctlError(
            f"{what} from {path}, such as pid {first.pid}: {command_line(first.command, 80)}",
            node=name,
            hint=f"`sparkctl down` stops cluster {', '.join(clusters)}"
            if clusters
            else "end these processes, or set runtime.venv to another path",
            code="venv-in-use",
            data={
                "path": path,
                "pids": [str(user.pid) for user in looked.users],
                "clusters": clusters,
            },
        )


def doubts(steps: Sequence[Step]) -> tuple[Doubt, ...]:
    """What the engines will lack on a node: triton and torch.compile compile with Python.h."""
    found = []
    for name, looked in ((s.goal.node.name, s.looked) for s in steps):
        if looked.base is not None and not looked.headers:
            package = f"python{_minor(looked)}-dev"
            text = (
                f"{name}: {looked.base} has no headers, with which torch compiles;"
                f" run `sudo apt install {package}` there"
            )
            found.append(Doubt("headers-missing", text, {"node": name, "package": package}))
    return tuple(found)


def _minor(looked: VenvLooked) -> str:
    return ".".join((looked.base_python or "3").split(".")[:2])


def same_python(steps: Sequence[Step]) -> list[Step]:
    """The steps after which the nodes of each service have one Python, to the patch level: Ray
    refuses another. What differs is replaced on as few nodes as possible.

    Raises SparkctlError where the nodes' interpreters do not allow it, or as `step` does.
    """
    services: dict[str, list[Step]] = {}
    for each in steps:
        services.setdefault(service_of(each.goal.unit), []).append(each)
    return [found for own in services.values() for found in _aligned(own)]


def _aligned(steps: Sequence[Step]) -> list[Step]:
    pythons = {s.goal.node.name: s.python for s in steps}
    if len({*pythons.values()}) == 1:
        return [*steps]
    either = [(s.python, s.looked.base_python) for s in steps]
    possible = [v for v in sum(either, ()) if v and all(v in pair for pair in either)]
    if not possible:
        raise SparkctlError(
            "the nodes have different Pythons: "
            + ", ".join(f"{version} on {name}" for name, version in pythons.items()),
            hint="update the nodes (`sudo apt upgrade`), or name one that all have with --python",
            code="python-differs",
            data={"nodes": [*pythons], "versions": [f"{v}" for v in pythons.values()]},
        )
    chosen = max(possible, key=[*pythons.values()].count)
    return [s if s.python == chosen else _replaced(s, pythons) for s in steps]


def _replaced(kept: Step, pythons: Mapping[str, str | None]) -> Step:
    """A virtual environment that is whole, but has another Python than one of these nodes."""
    name, version = next((n, v) for n, v in pythons.items() if v != kept.python)
    found = f"Python is {kept.python}, but {version} on {name}"
    return _built(kept.goal, kept.looked, "replace", [found])
