"""NCCL's and vLLM's settings outside the inventory: login, shell profiles, nccl.conf."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node.timeout import bounded

if TYPE_CHECKING:
    from collections.abc import Collection

    from sparkctl.node.wire import Answer

FILE_SECONDS = 4.0  # less than the whole group has (node/probe.py), so that the file is named
# Variables that change the fabric; none of them holds a secret.
WATCHED = re.compile(
    r"(?:NCCL|GLOO|UCX|IBV|RDMAV)_\w+|TP_SOCKET_IFNAME|VLLM_HOST_IP|RAY_ADDRESS|LD_PRELOAD"
    r"|RAY_memory_monitor_refresh_ms"
)
# Files that a login's shell reads: below /etc, and below the home.
SYSTEM_FILES = ("environment", "profile", "profile.d/*.sh", "bash.bashrc")
OWN_FILES = (".bashrc", ".bash_profile", ".bash_login", ".profile", ".zshrc", ".zshenv")
OTHER_FILES = (".config/fish/config.fish", ".config/fish/conf.d/*.fish", ".ssh/environment")
# A word of a shell: quoted and plain parts in any order.
WORD = r"""(?:"[^"]*"|'[^']*'|\\.|[^\s;&|<>()"'#\\]|(?<=\S)#)"""
# Comments and quoted text set nothing; NAME=VALUE does, alone or after export and the like, and so
# do fish's `set -gx NAME VALUE` and csh's `setenv NAME VALUE`. Compiled only when a line has such a
# name, which is rare: it takes a millisecond.
ASSIGNMENT = (
    r"""(?:(?<=\s)|^)\#.*|"[^"]*"|'[^']*'"""
    rf"""|(?:(?<=[\s;&|(])|^)({WATCHED.pattern})=({WORD}+|["']\S*|)"""
    r"""|\b(?:setenv|set\s+(?=(?:-\S+\s+)*(?:-\w*x|--export))(?:-\S+\s+)+)\s*"""
    rf"""({WATCHED.pattern})[ \t]+({WORD}+(?:[ \t]+{WORD}+)*)"""
)


def watched(environment: dict[str, str], more: Collection[str] = ()) -> dict[str, str]:
    """The variables that change the fabric or are named in `more`."""
    return {k: v for k, v in sorted(environment.items()) if k in more or WATCHED.fullmatch(k)}


def settings(conf_file: str = "") -> Answer:
    """`session`: what is set in a command over SSH and inherited by `up`'s processes; `profiles`:
    path, line, name and value of each assignment in a shell's files; `conf`: NCCL's own files
    with their values, the first file that has a name wins; `conf_file`: the user's one of the two.

    The argument is the NCCL_CONF_FILE that `up` would set, if any.
    """
    own = conf_file or os.environ.get("NCCL_CONF_FILE") or str(Path.home() / ".nccl.conf")
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
    patterns = [Path("/etc", name) for name in SYSTEM_FILES]
    patterns += [Path.home() / name for name in OWN_FILES + OTHER_FILES]
    return [path for p in patterns if p.parent.is_dir() for path in sorted(p.parent.glob(p.name))]


def _text(path: Path) -> str:
    def read() -> str:
        try:
            with path.open(errors="replace", newline="\n") as file:
                return file.read()
        except OSError:  # what this user may not read sets nothing for its processes either
            return ""

    try:
        return bounded(read, FILE_SECONDS)
    except TimeoutError as error:
        raise TimeoutError(f"{path}: {error}") from error


def _assignments(path: Path) -> list[Answer]:
    return [
        {"path": str(path), "line": number, "name": name, "value": value}
        for number, line in enumerate(_text(path).split("\n"), 1)
        if WATCHED.search(line)
        for name, value in assignments(line)
    ]


def assignments(line: str) -> list[tuple[str, str]]:
    """The watched variables that a line of a shell's file sets, each with its unquoted value."""
    found = ((m[1] or m[3], m[2] if m[1] else m[4]) for m in re.finditer(ASSIGNMENT, line))
    return [(name, re.sub(r"[\"'\\]", "", value)) for name, value in found if name]


def conf_values(text: str) -> dict[str, str]:
    """The variables that an NCCL file sets: NAME=VALUE to the end of the line, nothing trimmed, `#`
    in the first column begins a comment, the first line of a name wins (NCCL 2.20.5 to 2.30.7,
    src/misc/param.cc, setEnvFile).
    """
    values: dict[str, str] = {}
    for line in text.split("\n"):
        name, sign, value = line.partition("=")
        if sign and not line.startswith("#"):
            values.setdefault(name, value)
    return values
