"""NCCL's and vLLM's settings that somebody left on a node: login, profiles, nccl.conf."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkctl.node.timeout import bounded

if TYPE_CHECKING:
    from collections.abc import Collection

FILE_SECONDS = 4.0  # less than the whole group has (node/probe.py): then the file is named
# What changes the fabric; no name among them can hold a secret.
WATCHED = re.compile(
    r"(?:NCCL|GLOO|UCX|IBV|RDMAV)_\w+|TP_SOCKET_IFNAME|VLLM_HOST_IP|RAY_ADDRESS|LD_PRELOAD"
    r"|RAY_memory_monitor_refresh_ms"
)
PROFILES = (
    "/etc/environment", "/etc/profile", "/etc/profile.d/*.sh", "/etc/bash.bashrc",
    "~/.bashrc", "~/.bash_profile", "~/.bash_login", "~/.profile", "~/.zshrc", "~/.zshenv",
    "~/.config/fish/config.fish", "~/.config/fish/conf.d/*.fish", "~/.ssh/environment",
)  # fmt: skip
# A word of a shell: quoted parts and plain ones, side by side.
WORD = r"""(?:"[^"]*"|'[^']*'|\\.|[^\s;&|<>()"'#\\]|(?<=\S)#)"""
# A comment and what stands in quotes set nothing; NAME=VALUE does, alone or after export and its
# like, and so do fish's `set -gx NAME VALUE` and csh's `setenv NAME VALUE`. Compiled where a line
# has such a name, which is rare and takes a millisecond.
ASSIGNMENT = (
    r"""(?:(?<=\s)|^)\#.*|"[^"]*"|'[^']*'"""
    rf"""|(?:(?<=[\s;&|(])|^)({WATCHED.pattern})=({WORD}+|["']\S*|)"""
    r"""|\b(?:setenv|set\s+(?=(?:-\S+\s+)*(?:-\w*x|--export))(?:-\S+\s+)+)\s*"""
    rf"""({WATCHED.pattern})[ \t]+({WORD}+(?:[ \t]+{WORD}+)*)"""
)


def watched(environment: dict[str, str], more: Collection[str] = ()) -> dict[str, str]:
    """Those of these variables that change the fabric, and those named in `more`."""
    return {k: v for k, v in sorted(environment.items()) if k in more or WATCHED.fullmatch(k)}


def settings(request: dict[str, Any]) -> dict[str, Any]:
    """`session`: what a command over SSH finds set, and `up`'s processes inherit; `profiles`:
    path, line, name and value of each assignment in a shell's files; `conf`: NCCL's own files
    with their values, the first that has a name wins; `conf_file`: the user's own of the two.

    `request` has conf_file, the NCCL_CONF_FILE that `up` would set, or "".
    """
    own = request.get("conf_file") or os.environ.get("NCCL_CONF_FILE")
    own = own or str(Path.home() / ".nccl.conf")
    return {
        "session": watched(dict(os.environ)),
        "profiles": [entry for path in _paths() for entry in _assignments(path)],
        "conf": [
            {"path": path, "values": values}
            for path in (own, "/etc/nccl.conf")
            if (values := conf_values(_text(Path(path))))
        ],
        "conf_file": own,
    }


def _paths() -> list[Path]:
    paths: list[Path] = []
    for pattern in PROFILES:
        path = Path(pattern).expanduser()
        paths += sorted(path.parent.glob(path.name)) if path.parent.is_dir() else []
    return paths


def _text(path: Path) -> str:
    def read() -> str:
        try:
            with path.open(errors="replace", newline="\n") as file:
                return file.read()
        except OSError:
            return ""

    try:
        text: str = bounded(read, FILE_SECONDS)
    except TimeoutError as error:
        raise TimeoutError(f"{path}: {error}") from error
    return text


def _assignments(path: Path) -> list[dict[str, Any]]:
    return [
        {"path": str(path), "line": number, "name": name, "value": value}
        for number, line in enumerate(_text(path).split("\n"), 1)
        if WATCHED.search(line)
        for name, value in assignments(line)
    ]


def assignments(line: str) -> list[tuple[str, str]]:
    """The watched variables that a line of a shell's file sets, each with its value unquoted."""
    found = ((m[1] or m[3], m[2] if m[1] else m[4]) for m in re.finditer(ASSIGNMENT, line))
    return [(name, re.sub(r"[\"'\\]", "", value)) for name, value in found if name]


def conf_values(text: str) -> dict[str, str]:
    """What a file of NCCL's sets: NAME=VALUE to the end of the line, nothing trimmed, `#` in the
    first column begins a comment, the first line of a name wins (NCCL 2.20.5 to 2.30.7,
    src/misc/param.cc, setEnvFile).
    """
    values: dict[str, str] = {}
    for line in text.split("\n"):
        name, sign, value = line.partition("=")
        if sign and not line.startswith("#"):
            values.setdefault(name, value)
    return values
