"""NCCL's and vLLM's settings that somebody left on a node: login, profiles, nccl.conf."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

# What changes the fabric; no name among them can hold a secret.
WATCHED = re.compile(
    r"(NCCL|GLOO|UCX|IBV|RDMAV)_\w+|TP_SOCKET_IFNAME|VLLM_HOST_IP|RAY_ADDRESS|LD_PRELOAD"
)
PROFILES = (
    "/etc/environment", "/etc/profile", "/etc/profile.d/*.sh", "/etc/bash.bashrc",
    "~/.bashrc", "~/.bash_profile", "~/.bash_login", "~/.profile", "~/.zshrc", "~/.zshenv",
    "~/.ssh/environment",
)  # fmt: skip
ASSIGNMENT = re.compile(rf"^\s*(?:export\s+|set\s+-x\s+)?({WATCHED.pattern})=(\S*)", re.M)


def watched(environment: dict[str, str], more: Collection[str] = ()) -> dict[str, str]:
    """Those of these variables that change the fabric, and those named in `more`."""
    return {k: v for k, v in sorted(environment.items()) if k in more or WATCHED.fullmatch(k)}


def settings(_: dict[str, Any]) -> dict[str, Any]:
    """`session`: what a command over SSH finds set, and `up`'s processes inherit; `profiles`:
    path, line, name and value of each assignment in a shell's files; `conf`: NCCL's own files
    with their values, the first that has a name wins (NCCL's src/misc/utils.cc and socket.cc).
    """
    return {
        "session": watched(dict(os.environ)),
        "profiles": [entry for path in _paths() for entry in _assignments(path)],
        "conf": _conf(),
    }


def _paths() -> list[Path]:
    paths: list[Path] = []
    for pattern in PROFILES:
        path = Path(pattern).expanduser()
        paths += sorted(path.parent.glob(path.name)) if path.parent.is_dir() else []
    return paths


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _assignments(path: Path) -> list[dict[str, Any]]:
    text = _text(path)
    return [
        {
            "path": str(path),
            "line": text.count("\n", 0, match.start(1)) + 1,
            "name": match[1],
            "value": match.groups()[-1].strip("\"';"),
        }
        for match in ASSIGNMENT.finditer(text)
    ]


def _conf() -> list[dict[str, Any]]:
    own = os.environ.get("NCCL_CONF_FILE") or str(Path.home() / ".nccl.conf")
    found = []
    for path in (Path(own), Path("/etc/nccl.conf")):
        pairs = (line.partition("=") for line in _text(path).splitlines() if "=" in line)
        values = {k.strip(): v for k, _, v in pairs if not k.lstrip().startswith("#")}
        if values:
            found.append({"path": str(path), "values": values})
    return found
