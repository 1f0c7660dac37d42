"""The container engines of a node, the containers that the login may see, and one image."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.node import containertools, enginejson, modelpath
from sparkctl.node.subprocesses import LONGEST, reason, start

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sparkctl.node.subprocesses import Ended, Started
    from sparkctl.node.wire import Answer, Json

INFINIBAND = Path("/dev/infiniband")
SECONDS = 5.0  # for all programs; a healthy one takes 0.1, a wedged daemon never answers
LEAST = 0.1
MOST = 200  # containers of an engine; those that run or are sparkctl's come first
# What the engines print when they cannot answer, and why (docker 20.10 to 29, podman 4 and 5).
PROBLEMS = (
    ("permission denied", "denied"),
    ("cannot connect to the docker daemon", "stopped"),
    ("failed to connect to the docker api", "stopped"),
)
# How they say that there is no such image.
NO_IMAGE = ("no such image", "image not known")
GONE = "no such container"  # ended and removed since it was listed


class Failed(OSError):
    """Why an engine does not answer, and its kind."""

    def __init__(self, problem: str, reason: str) -> None:
        super().__init__(reason[:LONGEST])
        self.problem = problem


class Asked(NamedTuple):
    """An engine's programs, all started."""

    about: Started
    ids: Started
    image: Started | None


def containers(image: str, tools: Sequence[str], mounts: Iterable[str] = ()) -> Answer:
    """`engines` by name, each with its version, whether it is `rootless`, the `image` or None, and
    `containers`; or its `problem` with the `reason`, and then the rest is unread.

    Without `tools` no program is run; a later one only where an earlier one cannot serve. `gid` and
    `groups` are the login's. `mounts`: of each of these paths why it is not there, "" if it is.
    """
    deadline = time.monotonic() + SECONDS
    found: dict[str, tuple[dict[str, Json], Started | None]] = {}
    try:
        for tool in tools:
            if _is_wanted(tool, [engine for engine, _ in found.values()]):
                found[tool] = _engine(tool, _ask(tool, image), deadline)
        engines: dict[str, Json] = {t: _completed(t, *found[t], deadline) for t in found}
    finally:
        for _, listed in found.values():
            if listed is not None:
                listed.end()
    return {
        "gid": os.getgid(),
        "groups": sorted(os.getgroups()),
        "infiniband": INFINIBAND.is_dir(),
        "mounts": {path: _mount(path) for path in mounts},
        "engines": engines,
    }


def _mount(path: str) -> str:
    try:
        Path(modelpath.expanded(path, str(Path.home()))).stat()
    except (FileNotFoundError, NotADirectoryError):
        return "absent"
    except PermissionError:
        return "denied"
    except OSError:  # as of a file server that does not answer
        return "failed"
    return ""


def _is_wanted(tool: str, before: Sequence[dict[str, Json]]) -> bool:
    """Whether an engine is asked after these: where none of them can be used, or has the image and
    the login uses this one. podman makes its store when it is asked, and leaves a process.
    """
    usable = [engine for engine in before if not engine["problem"]]
    if not usable:
        return True
    return all(e["image"] is None for e in usable) and containertools.may_have(tool)


def _ask(tool: str, image: str) -> Asked:
    return Asked(
        start(containertools.about(tool)),
        start(containertools.find(tool)),
        start(containertools.inspect_image(tool, image)) if image else None,
    )


def _engine(tool: str, asked: Asked, deadline: float) -> tuple[dict[str, Json], Started | None]:
    """An engine without its containers, and what reads these."""
    blank: dict[str, Json] = {"version": None, "rootless": False, "problem": "", "reason": ""}
    blank |= {"image": None, "containers": []}
    try:
        version, rootless = _about(tool, _wait(tool, asked.about, deadline))
        ids = _good(_wait(tool, asked.ids, deadline)).split()
        image = _image(_wait(tool, asked.image, deadline)) if asked.image else None
    except Failed as error:
        return {**blank, "problem": error.problem, "reason": str(error)}, None
    finally:  # a daemon that hangs leaves those that were not waited for
        for program in (asked.about, asked.ids, asked.image):
            if program is not None:
                program.end()
    known = {**blank, "version": version, "rootless": rootless, "image": image}
    return known, start(containertools.inspect(tool, ids)) if ids else None


def _completed(
    tool: str, engine: dict[str, Json], listed: Started | None, deadline: float
) -> dict[str, Json]:
    """An engine with its containers."""
    if listed is None:
        return engine
    try:
        ended = _wait(tool, listed, deadline)
        if not (ended.status and GONE in ended.err.lower()):  # the others are printed
            _good(ended)
        rows = enginejson.containers(ended.out)
    except Failed as error:
        return {**engine, "problem": error.problem, "reason": str(error)}
    except ValueError as error:
        return {**engine, "problem": "failed", "reason": f"{tool} container inspect: {error}"}
    rows.sort(key=lambda row: (row["cluster"] is None, row["pid"] == 0))
    return {**engine, "containers": rows[:MOST]}


def _about(tool: str, ended: Ended) -> tuple[str | None, bool]:
    """The engine's version, and whether it is rootless."""
    try:
        about = enginejson.about(tool, ended.out)
    except enginejson.Foreign:  # podman-docker: a program docker that is podman
        raise Failed("absent", f"the program {tool} is another engine's") from None
    except ValueError:
        _good(ended)
        raise Failed("failed", f"{tool} is not understood: {ended.last}") from None
    if about.errors:
        raise _failed("\n".join(about.errors))
    _good(ended)
    return about.version, os.getuid() != 0 if about.rootless is None else about.rootless


def _image(ended: Ended) -> Json:
    if ended.status and any(text in ended.err.lower() for text in NO_IMAGE):
        return None
    try:
        return enginejson.image(_good(ended))
    except ValueError as error:
        raise Failed("failed", f"image inspect: {error}") from None


def _wait(tool: str, program: Started, deadline: float) -> Ended:
    try:
        return program.wait(max(LEAST, deadline - time.monotonic()))
    except FileNotFoundError as error:
        raise Failed("absent", str(error)) from None
    except PermissionError as error:
        raise Failed("denied", str(error)) from None
    except TimeoutError as error:  # docker's daemon hangs; podman has none
        raise Failed("stopped" if tool == "docker" else "failed", str(error)) from None
    except OSError as error:
        raise Failed("failed", str(error)) from None


def _good(ended: Ended) -> str:
    """What a program printed; raises Failed where its exit status is not 0."""
    if ended.status:
        raise _failed(ended.err or ended.last)
    return ended.out


def _failed(printed: str) -> Failed:
    """By the line that says why: others may follow it."""
    lines = printed.splitlines()
    for line in lines:
        for text, problem in PROBLEMS:
            if text in line.lower():
                return Failed(problem, line.strip())
    return Failed("failed", reason(lines) or "no output")
