"""A checkpoint on a node: is it whole, and is it the same everywhere? Only headers are read."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from functools import partial
from pathlib import Path
from typing import Any

from sparkctl.node import modelpath, users

DESCRIPTIONS = ("config.json", "model.safetensors.index.json")
HEADER_LIMIT = 100 * 2**20  # safetensors' own bound for the JSON header


def checkpoint(request: dict[str, Any]) -> dict[str, Any]:
    """Whether `model`, a path (node/modelpath.py), holds a checkpoint; vLLM fetches any other.

    `missing`: shards that the index names; `broken`: files whose header promises another size
    (bytes); `unreadable`: files that this user may not read, and whose they are; `digest`: of
    configuration, index and sizes, to compare nodes by.
    """
    model = request["model"]
    if not modelpath.is_path(model):
        return {"is_path": False}
    path = Path(modelpath.expanded(model, str(Path.home())))
    shards = sorted(path.glob("*.safetensors")) if path.is_dir() else []
    sizes = {s.name: s.stat().st_size for s in shards}
    index = _json(path / "model.safetensors.index.json")
    named = sorted(set(index.get("weight_map", {}).values()))
    files = [*(f for name in DESCRIPTIONS if (f := path / name).is_file()), *shards]
    unreadable = [f for f in files if not os.access(f, os.R_OK)]
    checked = ((s, sizes[s.name], _promised(s)) for s in shards if s not in unreadable)
    return {
        "is_path": True,
        "path": str(path),
        "exists": path.is_dir(),
        "config": (path / "config.json").is_file(),
        "shards": len(shards),
        "bytes": sum(sizes.values()),
        "missing": [name for name in named if name not in sizes],
        "broken": [
            {"name": s.name, "wanted": wanted, "found": found}
            for s, found, wanted in checked
            if wanted != found
        ],
        "unreadable": [_owned(s) for s in unreadable],
        "digest": _digest([f for f in files if f not in shards and f not in unreadable], sizes),
    }


def _owned(path: Path) -> dict[str, Any]:
    """Whose a file is that may not be read."""
    status = path.stat()
    return {"name": path.name, "uid": status.st_uid, "user": users.name(status.st_uid),
            "mode": f"{status.st_mode & 0o7777:04o}"}  # fmt: skip


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _promised(path: Path) -> int | None:
    """The size that the header promises (github.com/huggingface/safetensors, Format): 8 bytes of
    length, the JSON header, then the tensors; null when there is no such header.
    """
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > HEADER_LIMIT:
                return None
            header = json.loads(stream.read(length))
            ends = [int(v["data_offsets"][1]) for k, v in header.items() if k != "__metadata__"]
            return 8 + int(length) + max(ends, default=0)
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError):
        return None


def _digest(descriptions: list[Path], sizes: dict[str, int]) -> str:
    value = hashlib.sha256(json.dumps(sorted(sizes.items())).encode())
    for path in descriptions:
        with path.open("rb") as stream:
            for block in iter(partial(stream.read, 2**20), b""):
                value.update(block)
    return value.hexdigest()
