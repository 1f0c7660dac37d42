"""A checkpoint on a node: is it complete, and the same on all nodes? Only headers are read."""

from __future__ import annotations

import hashlib
import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import jsontext, modelpath, users

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sparkctl.node.wire import Answer, Json

INDEX = "model.safetensors.index.json"
DESCRIPTIONS = ("config.json", INDEX)
HEADER_LIMIT = 100 * 2**20  # bytes; safetensors' own limit for the JSON header


def checkpoint(model: str) -> Answer:
    """Whether `model`, a path (node/modelpath.py), holds a checkpoint; vLLM fetches any other.

    `missing`: shards that the index names; `broken`: files whose header promises another size
    (bytes); `unreadable`: files that this user may not read, and their owners; `digest`: of
    configuration, index and sizes, to compare nodes by.
    """
    if not modelpath.is_path(model):
        return {"is_path": False}
    path = Path(modelpath.expanded(model, str(Path.home())))
    sizes = {s: s.stat().st_size for s in sorted(path.glob("*.safetensors"))}
    descriptions = [f for name in DESCRIPTIONS if (f := path / name).is_file()]
    unreadable = [f for f in [*descriptions, *sizes] if not os.access(f, os.R_OK)]
    return {
        "is_path": True,
        "path": str(path),
        "exists": path.is_dir(),
        "config": (path / "config.json").is_file(),
        "shards": len(sizes),
        "bytes": sum(sizes.values()),
        "missing": sorted(_indexed(path / INDEX) - {shard.name for shard in sizes}),
        "broken": _broken(sizes, unreadable),
        "unreadable": [_owned(file) for file in unreadable],
        "digest": _digest([f for f in descriptions if f not in unreadable], sizes),
    }


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
