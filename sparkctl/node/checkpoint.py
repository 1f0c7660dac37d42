"""A checkpoint on a node: is it complete, and the same on all nodes? Only headers are read."""

from __future__ import annotations

import hashlib
import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import jsontext, modelconfig, modelpath, users

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sparkctl.node.wire import Answer, Json

INDEX = "model.safetensors.index.json"
DESCRIPTIONS = ("config.json", INDEX)
READ = frozenset({".safetensors", ".bin", ".json", ".model", ".txt", ".jinja", ".py"})
DANGLING = 1000  # names; the largest checkpoints have some hundred files
HEADER_LIMIT = 100 * 2**20  # bytes; safetensors' own limit for the JSON header


def checkpoint(
    model: str, revision: str | None = None, hub: Mapping[str, str] | None = None
) -> Answer:
    """Whether `model`, a path (node/modelpath.py), holds a checkpoint; vLLM fetches any
    other. Of one that is in the hub's cache there are its directory, `path`, and `dangling`.

    `dangling`: links to files that are gone; `missing`: shards that the index names; `broken`:
    files whose header promises another size (bytes); `unreadable`: files that this user may not
    read, and their owners; `digest`: of configuration, index and sizes, to compare nodes by.
    `revision` and `hub` as of node/modelconfig.py.
    """
    if not modelpath.is_path(model):
        return _in_cache(model, revision, hub or {})
    path = Path(modelpath.expanded(model, str(Path.home())))
    dangling = _dangling(path)
    shards = sorted(s for s in path.glob("*.safetensors") if s.name not in dangling)
    sizes = {s: s.stat().st_size for s in shards}
    descriptions = [f for name in DESCRIPTIONS if (f := path / name).is_file()]
    unreadable = [f for f in [*descriptions, *sizes] if not os.access(f, os.R_OK)]
    return {
        "is_path": True,
        "path": str(path),
        "exists": path.is_dir(),
        "config": (path / "config.json").is_file(),
        "shards": len(sizes),
        "bytes": sum(sizes.values()),
        "missing": sorted(_indexed(path / INDEX) - {s.name for s in sizes} - {*dangling}),
        "broken": _broken(sizes, unreadable),
        "unreadable": [_owned(file) for file in unreadable],
        "dangling": dangling,
        "digest": _digest([f for f in descriptions if f not in unreadable], sizes),
    }


def _in_cache(model: str, revision: str | None, hub: Mapping[str, str]) -> Answer:
    try:
        path = modelconfig.cached(model, revision, hub)
    except ValueError:  # not there, or unreadable, which model_config says
        return {"is_path": False}
    return {"is_path": False, "path": str(path), "dangling": _dangling(path)}


def _dangling(path: Path) -> list[str]:
    """The links of a directory whose files are gone, of files that vLLM may read: the hub's cache
    keeps the files elsewhere.
    """
    files = [p for p in path.glob("*") if p.suffix in READ]
    # Of weights in both formats vLLM reads only these, so the others may have been removed.
    unread = {".bin"} if any(p.suffix == ".safetensors" for p in files) else set()
    links = (p for p in files if p.suffix not in unread and p.is_symlink())
    return sorted(link.name for link in links if not link.exists())[:DANGLING]


def _broken(sizes: Mapping[Path, int], unreadable: Collection[Path]) -> list[Answer]:
    """The shards whose header promises (`wanted`) another size than they have (`found`)."""
    checked = ((s, size, _promised(s)) for s, size in sizes.items() if s not in unreadable)
    return [
        {"name": shard.name, "wanted": promised, "found": size}
        for shard, size, promised in checked
        if promised != size
    ]


def _owned(path: Path) -> Answer:
    """The owner and mode of a file."""
    status = path.stat()
    return {
        "name": path.name,
        "uid": status.st_uid,
        "user": users.name(status.st_uid),
        "mode": f"{status.st_mode & 0o7777:04o}",
    }


def _indexed(path: Path) -> set[str]:
    """The shards that an index names; empty when it cannot be read."""
    try:
        index = jsontext.table(jsontext.load(path.read_text()))
        return {jsontext.text(s) for s in jsontext.table(index["weight_map"]).values()}
    except (OSError, ValueError, KeyError):
        return set()


def _promised(path: Path) -> int | None:
    """The size that the header promises (github.com/huggingface/safetensors, Format): 8 bytes of
    length, the JSON header, then the tensors; None when there is no such header.
    """
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > HEADER_LIMIT:
                return None
            header = jsontext.table(jsontext.load(stream.read(length)))
        ends = [_end(tensor) for name, tensor in header.items() if name != "__metadata__"]
        return 8 + length + max(ends, default=0)
    except (OSError, ValueError, LookupError):
        return None


def _end(tensor: Json) -> int:
    return int(jsontext.number(jsontext.rows(jsontext.table(tensor)["data_offsets"])[1]))


def _digest(descriptions: list[Path], sizes: Mapping[Path, int]) -> str:
    named = sorted((shard.name, size) for shard, size in sizes.items())
    value = hashlib.sha256(json.dumps(named).encode())
    for path in descriptions:
        with path.open("rb") as stream:
            for block in iter(partial(stream.read, 2**20), b""):
                value.update(block)
    return value.hexdigest()
