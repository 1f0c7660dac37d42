"""Making a virtual environment on a node, with packages from an index or a folder of wheels.

What builds it runs on without the controller, under a shim, and is found again by the folder in
which it builds (venvs.py). The controller looks at what was built, and then has it moved.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.node import (
    entries,
    files,
    guard,
    journal,
    jsontext,
    logs,
    marks,
    processes,
    shim,
    state,
    venvs,
)
from sparkctl.node.subprocesses import start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.node.venvs import Place
    from sparkctl.node.wire import Answer, Install, Installed, VenvLook

GUARD = "install.lock"
SECONDS = 10.0  # for a look at an interpreter
SEEN = 2.0  # seconds for the shim to write how the program ended
LOOK = 0.05  # seconds between looks
MOST = 20  # processes in an answer
PYTHON = """\
import json, os, platform, sys, sysconfig
headers = os.path.isfile(os.path.join(sysconfig.get_path("include"), "Python.h"))
print(json.dumps([sys.executable, platform.python_version(), headers]))
"""
# Where uv's installer puts it; a login that runs one command may have neither on its PATH.
UV = ("uv", "~/.local/bin/uv", "~/.cargo/bin/uv")
# ensurepip apart, as venv hides what it prints. Without PYTHONPATH and the user's own packages.
WITH_PIP = """\
python=$1 venv=$2; shift 2
"$python" -Im venv --without-pip "$venv" &&
"$venv/bin/python" -Im ensurepip --default-pip >/dev/null &&
exec "$venv/bin/python" -Im pip install --no-input --disable-pip-version-check \
--progress-bar off "$@"
"""
WITH_UV = """\
uv=$1 python=$2 venv=$3; shift 3
"$uv" venv --no-progress --no-python-downloads --python "$python" "$venv" &&
exec "$uv" pip install --no-progress --python "$venv/bin/python" "$@"
"""


class Interpreter(NamedTuple):
    """A Python, whose path and version are None if it does not run; `headers`: it has Python.h."""

    path: str | None
    version: str | None
    headers: bool


def look(request: VenvLook) -> Answer:
    """What there is for a virtual environment: `path` without links, `kind` (absent, venv, other),
    `python` and `versions` of it, `unwritable`: why it cannot be made or replaced; `base` and
    `base_python`: the interpreter `program` and its version, null if it does not run; whether it
    has `ensurepip` and `headers`; `uv`: its path or null; `users`: processes that run from it;
    `free` bytes there; `left`: whether an installation is under way, or was not completed.
    """
    place = venvs.place(request["venv"])
    python, version, headers = _python(request["program"])
    return {
        "path": str(place.path),
        "kind": _kind(place.path),
        "python": _python(str(place.path / "bin/python")).version,
        "versions": _versions(place.path, request["packages"]),
        "unwritable": _unwritable(place),
        "base": python,
        "base_python": version,
        "ensurepip": python is not None and _has_ensurepip(python),
        "headers": headers,
        "uv": _uv(),
        "users": _users(place.path, Path(request["venv"]).expanduser()),
        "free": _free(place.path),
        "left": place.build() is not None,
    }


def begin(request: Install) -> Answer:
    """Begin to build it, once: what builds the same already, or has, is found, also another run's.

    What an earlier run left otherwise is taken back first. Returns the `run` that builds, its pid,
    start ticks and log, the path at which it is built, and `other`: null, or the cluster whose run
    builds there now, and nothing was begun.
    """
    cluster, place = request["cluster"], venvs.place(request["venv"])
    with guard.hold(files.home(cluster), GUARD):
        build = place.build()
        if build is None or not _is_same(build, request, place):
            if build is not None and build.cluster != cluster and place.runs():
                return _answer(place, build.run, other=build.cluster)
            _clear(cluster, place)
            _start(request, place)
            return _answer(place, request["run"])
        return _answer(place, build.run)


def ended(request: Installed) -> Answer:
    """How the program that builds has ended: `status` (null: it runs, or was killed with its shim)
    the last lines of its log, and `free` bytes: a log on a full disk lacks its end.
    """
    place = venvs.place(request["venv"])
    deadline = time.monotonic() + SEEN
    while (status := shim.status(place.exit)) is None and time.monotonic() < deadline:
        time.sleep(LOOK)
    return {"status": status, "tail": logs.tail(place.log, 0), "free": _free(place.path)}


def finish(request: Installed) -> Answer:
    """Move what the run has built to its path, in place of what is there. Returns its log."""
    cluster, place, run = request["cluster"], venvs.place(request["venv"]), request["run"]
    with guard.hold(files.home(cluster), GUARD):
        build, whole = place.build(), place.whole()
        if build is not None and build.run == run and shim.status(place.exit) == 0:
            place.move()
        elif whole is None or whole.run != run:
            sys.exit(f"{place.path}: nothing complete was built by the run {run}")
        entries.of(cluster, root=False).close(_owner(run), "venv")
    return {"log": str(place.path / venvs.KEPT[1])}


def _is_same(build: venvs.Build, request: Install, place: Place) -> bool:
    same = build.cluster == request["cluster"] and build.spec == request["spec"]
    built = place.new.is_dir() and shim.status(place.exit) == 0
    return same and (place.runs() or built)


def _clear(cluster: str, place: Place) -> None:
    """Take back what this cluster's earlier runs have left, and what another's has left there."""
    found = journal.readable(entries.of(cluster, root=False))
    answer = journal.undone(cluster, [e for e in found if e.is_of("install")], root=False)
    for failed in map(jsontext.table, jsontext.rows(answer["failed"])):
        sys.exit(f"cannot take back an earlier installation: {failed['error']}")
    if (build := place.build()) is not None:
        place.restore(build.run)
    guard.remove(place.folder)


def _start(request: Install, place: Place) -> None:
    cluster, run = request["cluster"], request["run"]
    python = _python(request["program"]).path
    uv = _uv()
    if python is None:
        sys.exit(f"{request['program']} does not run")
    argv = ["/bin/sh", "-c", WITH_PIP, "sparkctl", python, str(place.new), *request["pip"]]
    if not _has_ensurepip(python):
        if uv is None:
            sys.exit(f"neither ensurepip of {python} nor uv is there")
        argv = ["/bin/sh", "-c", WITH_UV, "sparkctl", uv, python, str(place.new), *request["uv"]]
    owned = entries.made(cluster, root=False)
    data = {"venv": str(place.path), "run": run}
    owned.enter(entries.new(_owner(run), "venv", data, f"install {place.path}"))
    place.folder.mkdir(mode=0o700, parents=True)
    place.scratch.mkdir(mode=0o700)
    place.write(venvs.Build(cluster, run, request["spec"], state.boot_id()))
    mark = {
        processes.MARK: f"{cluster}/{run}",
        processes.ROLE: venvs.ROLE,
        processes.UNIT: request["unit"],
    }
    scratch = {"TMPDIR": str(place.scratch)}
    environment = {**os.environ, **scratch, **request["env"], **mark}
    folder, log, ends = map(str, (place.folder, place.log, place.exit))
    job = shim.Job(argv, environment, folder, log, ends, shim.BYTES, shim.EVERY)
    fd = os.open(place.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(fd, "ab") as stream:
        shim.begin(job, stream, {**os.environ, **mark, processes.ROLE: marks.LOG})


def _answer(place: Place, run: str, other: str | None = None) -> Answer:
    begun = shim.begun(place.exit)
    return {
        "run": run,
        "pid": begun.pid if begun else None,
        "started": begun.started if begun else 0,
        "log": str(place.log),
        "new": str(place.new),
        "other": other,
    }


def _owner(run: str) -> str:
    return f"{venvs.ROLE}/{run}"


def _kind(path: Path) -> str:
    if (path / "pyvenv.cfg").is_file():
        return "venv"
    if not os.path.lexists(path) or (path.is_dir() and not os.listdir(path)):
        return "absent"
    return "other"


def _python(program: str) -> Interpreter:
    """What there is of an interpreter."""
    try:
        printed = start([program, "-Ic", PYTHON]).finish(SECONDS)
        path, version, headers = json.loads(printed)
    except (OSError, ValueError):
        return Interpreter(None, None, headers=False)
    return Interpreter(str(path), str(version), headers=bool(headers))


def _has_ensurepip(python: str) -> bool:
    """Whether it can put pip into a virtual environment: Ubuntu has that in python3-venv."""
    try:
        start([python, "-Im", "ensurepip", "--version"]).finish(SECONDS)
    except OSError:
        return False
    return True


def _uv() -> str | None:
    return next(filter(None, (shutil.which(str(Path(uv).expanduser())) for uv in UV)), None)


def _versions(venv: Path, packages: Sequence[str]) -> Answer:
    """The versions of these packages, from their metadata."""
    found = {}
    pattern = re.compile(rf"({'|'.join(map(re.escape, packages)) or '-'})-([^-]+)\.dist-info")
    for entry in venv.glob("lib/python3*/site-packages/*.dist-info"):
        if match := pattern.fullmatch(entry.name):
            found[match[1]] = match[2]
    return found


def _unwritable(place: Place) -> str | None:
    """Why no folder can be made next to the path; None if it can."""
    parent = place.path.parent
    while not os.path.lexists(parent):
        parent = parent.parent
    if not parent.is_dir():
        return f"{parent} is not a directory"
    for path in (parent, place.path):
        if os.path.lexists(path) and not os.access(path, os.W_OK | os.X_OK):
            return f"{path} is not writable"
    return None


def _free(path: Path) -> int:
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _users(*paths: Path) -> list[Answer]:
    """The processes that run from one of these paths: by command line, or by what they map."""
    if not paths[0].exists():
        return []
    folders = tuple({f"{path}/" for path in paths})
    found: list[Answer] = [
        {"pid": p.pid, "command": p.command, "cluster": p.cluster, "unit": p.unit}
        for p in processes.table()
        if p.pid != os.getpid() and p.state not in "ZX" and _runs_from(p.pid, folders)
    ]
    return found[:MOST]


def _runs_from(pid: int, folders: tuple[str, ...]) -> bool:
    if any(word.startswith(folders) for word in processes.arguments(pid)[:2]):
        return True
    try:  # Ray and vLLM give their processes other names
        maps = (processes.PROC / str(pid) / "maps").read_text(errors="replace")
    except OSError:
        return False
    return any(f" {folder}" in maps for folder in folders)
