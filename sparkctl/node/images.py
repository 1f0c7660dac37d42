"""The versions inside an image: read once, then kept by the image's Id."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import containertools, files, jsontext, transient

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.node.boxwire import Program
    from sparkctl.node.wire import Answer, Json

SCHEMA = 1
SECONDS = 25.0  # for a first start of a 20 GB image from a cold disk; a warm one takes 0.5
KEPT = 16  # images
LIMIT = 2**20  # bytes of a file or an answer
FOLDER = ".cache/sparkctl/images"
KEYS = ("real", "python", "programs", "versions", "nccl", "libibverbs", "environment")
NOTHING: Answer = {"python": None, "programs": {}, "versions": {}, "nccl": {}}
NO_PROGRAM = 127  # exit status of docker's and podman's run
ID = re.compile(r"sha256:([0-9a-f]{12,128})")


def runtime(
    reference: str,
    tools: Sequence[str],
    engines: Mapping[str, Json],
    program: Program,
    cluster: str,
) -> Answer:
    """What the image has installed, by the first of `tools` that has it; `python` is None where it
    has none.

    `engines` as node/containers.py gives them; `program` reads it inside (inimage.py), in a
    container of `cluster`. Raises OSError with the reason where no engine can be used or the image
    cannot be started.
    """
    usable = {tool: jsontext.table(engines[tool]) for tool in tools}
    usable = {tool: found for tool, found in usable.items() if not found["problem"]}
    if not usable:
        first = jsontext.table(engines[tools[0]])
        kind = PermissionError if first["problem"] == "denied" else OSError
        raise kind(str(first["reason"]))
    for tool, found in usable.items():
        if found["image"] is not None:
            image = jsontext.table(found["image"])
            identity = jsontext.text(image["id"])
            _check(str(image["architecture"]))
            read = _of(tool, identity, program, cluster)
            return {**read, "image": reference, "id": identity}
    return {**NOTHING, "image": reference, "exists": False}


def _check(built: str) -> None:
    """Raises OSError for an image of another architecture, whose programs do not run."""
    own = containertools.architecture(os.uname().machine)
    if built != own:
        raise OSError(f"the image is built for {built}, and the node is {own}")


def _of(tool: str, identity: str, program: Program, cluster: str) -> Mapping[str, Json]:
    match = ID.fullmatch(identity)
    path = Path.home() / FOLDER / f"{match[1]}.json" if match else None
    if path and (kept := _kept(path, identity)):
        return kept
    name = containertools.transient(cluster)
    argv = containertools.once(tool, identity, name, cluster, program["argv"])
    ended = transient.run(argv, program["stdin"], SECONDS, name)
    if ended.status == NO_PROGRAM and program["argv"][0] in ended.err:
        return {**NOTHING, "exists": True}
    printed = ended.checked(tool)
    try:
        answer = jsontext.table(jsontext.load(printed[:LIMIT]))
        found: dict[str, Json] = {**{key: answer[key] for key in KEYS}, "exists": True}
    except (ValueError, KeyError):
        raise OSError(f"the image's python3 printed no such JSON: {printed[:200]!r}") from None
    if path:
        with suppress(OSError):  # a full disk, a home that is read-only
            _keep(path, identity, found)
    return found


def _kept(path: Path, identity: str) -> Mapping[str, Json] | None:
    """What was read before; None where that is damaged, of another schema or not this login's."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as stream:
            if os.fstat(fd).st_uid != os.getuid():
                return None
            document = jsontext.table(jsontext.load(stream.read(LIMIT)))
        if document["schema"] != SCHEMA or document["id"] != identity:
            return None
        return jsontext.table(document["found"])
    except (OSError, ValueError, KeyError):
        return None


def _keep(path: Path, identity: str, found: Mapping[str, Json]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.replace(path, json.dumps({"schema": SCHEMA, "id": identity, "found": found}))
    by_age = sorted(path.parent.glob("*.json"), key=lambda file: file.stat().st_mtime)
    for old in by_age[:-KEPT]:
        old.unlink()
