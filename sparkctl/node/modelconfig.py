"""The architecture of a model, read from the config.json that vLLM would find on this node."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import jsontext, modelpath

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.node.wire import Answer, Json

LIMIT = 16 * 2**20  # bytes; a config.json that lists every quantized layer has 2 MB
REFERENCE_LIMIT = 200  # bytes; a commit's hash has 40
MOST = 8  # names of classes that are returned; a config.json has one
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")


def modelconfig(model: str, revision: str | None, hub: Mapping[str, str]) -> Answer:
    """`architectures` and `model_type` as config.json has them, null if it does not; `path`, the
    file; `error`, why there are no architectures, else null.

    A `revision` of None is main; `hub` has the HF_ variables that `up` would set.
    """
    path: Path | None = None
    try:
        if modelpath.is_path(model):
            path = Path(modelpath.expanded(model, str(Path.home()))) / "config.json"
        else:
            path = cached(model, revision, hub) / "config.json"
        return {"path": str(path), **_classes(path), "error": None}
    except ValueError as error:
        nothing: Answer = {"architectures": None, "model_type": None}
        return {"path": None if path is None else str(path), **nothing, "error": str(error)}


def cached(model: str, revision: str | None, hub: Mapping[str, str]) -> Path:
    """The directory of a model of the hub in its cache, arguments as of `modelconfig`.

    Raises ValueError if it is not there or cannot be read.
    """
    return _snapshot(hub_cache({**os.environ, **hub}), model, revision or "main")


def hub_cache(environment: Mapping[str, str]) -> Path:
    """Where huggingface_hub keeps its models (2.4.0, constants.py)."""

    def place(name: str, default: Path) -> Path:
        value = environment.get(name)
        return _expanded(value) if value else default

    home = place("HF_HOME", place("XDG_CACHE_HOME", Path.home() / ".cache") / "huggingface")
    return place("HF_HUB_CACHE", place("HUGGINGFACE_HUB_CACHE", home / "hub"))


def _expanded(value: str) -> Path:
    path = Path(os.path.expandvars(value))
    try:
        return path.expanduser()
    except RuntimeError:  # `~` of an unknown user, which huggingface_hub takes for a folder's name
        return path


def _snapshot(cache: Path, model: str, revision: str) -> Path:
    """The directory of a revision: refs/REVISION holds its commit, or it is one itself.

    Raises ValueError if the cache does not have it.
    """
    base = cache / f"models--{model.replace('/', '--')}"
    if not stat.S_ISDIR(_mode(base)):
        raise ValueError(f"{model} is not in the hub cache {cache}")
    reference = base / "refs" / revision
    is_commit = not stat.S_ISREG(_mode(reference))
    commit = revision if is_commit else _text(reference, REFERENCE_LIMIT).strip()
    snapshot = base / "snapshots" / commit
    if not stat.S_ISDIR(_mode(snapshot)):
        raise ValueError(f"revision {revision} of {model} is not in the hub cache {cache}")
    return snapshot


def _mode(path: Path) -> int:
    """The mode of a path (stat(2), st_mode), 0 if it is absent; raises ValueError if unreadable."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def _classes(path: Path) -> Answer:
    """Raises ValueError with the reason if the file does not name an architecture."""
    text = _text(path, LIMIT)
    try:
        config = jsontext.table(jsontext.load(text))
    except ValueError:
        raise ValueError(f"{path} is not a JSON object") from None
    listed, kind = config.get("architectures"), config.get("model_type")
    names = [n for n in listed if _is_name(n)][:MOST] if isinstance(listed, list) else []
    if not names:
        raise ValueError(f"{path} names no architecture")
    return {"architectures": names, "model_type": kind if _is_name(kind) else None}


def _is_name(value: Json) -> bool:
    return isinstance(value, str) and bool(NAME.fullmatch(value))


def _text(path: Path, limit: int) -> str:
    """A regular file of at most `limit` bytes; raises ValueError with the reason for any other."""
    try:
        # Opening a named pipe would wait for a writer without O_NONBLOCK.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as stream:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise ValueError(f"{path} is not a file")
            data = stream.read(limit + 1)
    except FileNotFoundError:
        link = "is a dangling link" if path.is_symlink() else "does not exist"
        raise ValueError(f"{path} {link}") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > limit:
        raise ValueError(f"{path} is larger than {limit} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
