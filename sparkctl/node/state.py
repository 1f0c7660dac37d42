"""applied.json: the cluster as this node knows it, and each unit's last start.

{"schema": 2, "id", "cluster", "by": {who, when}, "nodes": {name: {host, ssh}}, "units": {id:
entry}, "older": {"ray": …, "vllm": …}}; `id` is the same on all nodes of a cluster. An entry has
the `unit` (unitjson.py), run, salt, argv and environment (secrets hashed), digest, who, since,
phase, and, once its program was started, pid, started (ticks), boot_id, log and offset. `older` is
what a record of schema 1, or of before there were schemas, says of a unit until it starts again.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sparkctl.node import files, guard, jsontext, lease
from sparkctl.node.marks import Program
from sparkctl.node.unitid import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.node.wire import Answer, Cluster, Forget, Join, Phase

SCHEMA = 2
NAME, GUARD = "applied.json", "applied.lock"  # the file; the flock of who changes it
OLDER = ("ray", "vllm")  # the units of an older record


class Begun(NamedTuple):
    """A program that was started: (pid, started) is unique since the boot `boot_id`; its output
    begins at `offset` of `log`.
    """

    pid: int
    started: int
    boot_id: str
    log: Path
    offset: int


def join(request: Join) -> Answer:
    """Write whose cluster this is: `id`, `by` and `nodes`; refused where it has another `id`.

    Returns `other`: null, or the id, by and nodes of that other cluster.
    """
    with changing(request["cluster"]) as document:
        if document["id"] not in ("", request["id"]):
            return {"other": {key: document[key] for key in ("id", "by", "nodes")}}
        document.update({key: request[key] for key in ("id", "by", "nodes")})
    return {"other": None}


def phase(request: Phase) -> Answer:
    """Set the phase (starting, ready, failed, stopped) of a unit that `run` started.

    Returns `changed`: whether the record has that start.
    """
    with changing(request["cluster"]) as document:
        entry = document["units"].get(request["unit"], {})
        same = bool(entry) and entry.get("run") == request["run"]
        if same:
            entry["phase"] = request["phase"]
    return {"changed": same}


def forget(request: Forget) -> Answer:
    """Remove the records of `units`, by id, or by kind for an older one; returns those removed."""
    with changing(request["cluster"]) as document:
        gone = [u for u in request["units"] for held in _held(document) if held.pop(u, None)]
    return {"forgotten": gone}


def check(request: Cluster) -> Answer:
    """End the call with a message if a newer sparkctl wrote the file: nothing may be changed."""
    _loaded(request["cluster"])
    return {}


@contextmanager
def changing(cluster: str) -> Iterator[dict[str, Any]]:
    """The file's content, to be changed by one caller at a time, and written in the end.

    What is damaged is replaced. Ends the call with a message if the file is newer.
    """
    base = files.state_dir(cluster)
    try:
        with guard.hold(base, GUARD):
            before = _loaded(cluster)
            document = json.loads(json.dumps(before))
            try:
                yield document
            finally:
                if document != before:
                    write(cluster, document)
    except guard.Damaged:
        sys.exit(f"{base / GUARD} is not a file of this account; remove it")


def write(cluster: str, document: dict[str, Any]) -> None:
    """Replace the file; only within `changing`, for what must not wait for its end."""
    files.replace(_path(cluster), json.dumps(document, indent=1))


def record(document: dict[str, Any], unit: str, entry: dict[str, Any]) -> None:
    """Put a unit's entry into the file's content, in place of an older one of its kind."""
    document["units"][unit] = entry
    document["older"].pop(kind_of(unit), None)


def read(cluster: str) -> dict[str, Any]:
    """The file's content as schema 2; without entries if it is absent or damaged.

    Raises files.Newer, and OSError for a file that cannot be read.
    """
    try:
        found = jsontext.table(files.document(_path(cluster), SCHEMA))
        return _current(cluster, found)
    except files.Newer:
        raise
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return _current(cluster, {})


def programs(cluster: str) -> list[Program]:
    """The programs that were started since boot; none if a newer sparkctl wrote the file."""
    found, boot = [], boot_id()
    try:
        units = read(cluster)["units"]
    except files.Newer:  # its marks still say what runs
        return []
    for unit, entry in units.items():
        program, run = begun(entry), entry.get("run")
        if program and program.boot_id == boot and isinstance(run, str):
            found.append(Program(cluster, run, unit, program.pid, program.started))
    return found


def begun(entry: Mapping[str, Any]) -> Begun | None:
    """The program of an entry; None if none was started, or the entry has another shape."""
    numbers = [entry.get(name) for name in ("pid", "started", "offset")]
    pid, started, offset = (n if isinstance(n, int) else -1 for n in numbers)
    boot, log = entry.get("boot_id"), entry.get("log")
    if pid < 2 or min(started, offset) < 0 or not (isinstance(boot, str) and isinstance(log, str)):
        return None
    return Begun(pid, started, boot, Path(log), offset)


def boot_id() -> str:
    """Of this boot (random(4))."""
    return lease.BOOT_ID.read_text().strip()


def _path(cluster: str) -> Path:
    return files.home(cluster) / NAME


def _loaded(cluster: str) -> dict[str, Any]:
    try:
        return read(cluster)
    except files.Newer as error:
        sys.exit(f"{error}; update sparkctl, a newer one started this cluster")


def _held(document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return document["units"], document["older"]


def _current(cluster: str, found: Any) -> dict[str, Any]:
    """A file of any known schema as the latest; what has another shape is left out."""
    is_current = found.get("schema") == SCHEMA
    text: dict[str, str] = {"id": found.get("id")} if is_current else {}
    return {
        "schema": SCHEMA,
        "id": text["id"] if isinstance(text.get("id"), str) else "",
        "cluster": cluster,
        "by": _objects(found, "by") if is_current else {},
        "nodes": _objects(found, "nodes") if is_current else {},
        "units": _entries(found, "units") if is_current else {},
        "older": _entries(found, "older") if is_current else _older(found),
    }


def _objects(found: dict[str, Any], key: str) -> dict[str, Any]:
    value = found.get(key)
    return value if isinstance(value, dict) else {}


def _entries(found: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in _objects(found, key).items() if isinstance(v, dict)}


def _older(found: dict[str, Any]) -> dict[str, Any]:
    """The entries of schema 1, or run and digest of what was written before ("ray_run", "ray")."""
    if "units" in found:
        return _entries(found, "units")
    return {
        unit: {"run": found[f"{unit}_run"], "digest": found.get(unit, "")}
        for unit in OLDER
        if f"{unit}_run" in found
    }
