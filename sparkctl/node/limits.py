"""What decides how much memory a login over SSH may lock: sshd, PAM, and pam_limits' files."""

from __future__ import annotations

import grp
import os
import pwd
import re
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.node.wire import Answer

FILE = Path("/etc/security/limits.conf")
FOLDER = Path("/etc/security/limits.d")
PAM = Path("/etc/pam.d")
SSHD_CONFIG = Path("/etc/ssh/sshd_config")
SYSTEMD = Path("/run/systemd/system")
MOST = 200  # lines about memory; sites have a handful
LIMIT = 2**20  # bytes of a file
DEPTH = 8  # of files that include one another
PAM_LIMITS = re.compile(r"^\s*-?session\s.*\bpam_limits\.so\b", re.M)
PAM_INCLUDE = re.compile(r"^\s*(?:@include|-?session\s+(?:include|substack))\s+(\S+)", re.M)
SSHD_LINE = re.compile(r"""^\s*(\w+)(?:\s*=\s*|\s+)"?([^"\s#]+)""")


def limits() -> Answer:
    """`lines` about locked memory in the order in which pam_limits reads them (path, line, domain,
    type, value; of a line that exempts its domain from all limits the value is null), `unread`
    files, the user's `groups` and `gids`; `use_pam` and `pam_limits`: whether sshd uses PAM, and
    its stack has the module, null if that could not be read; `sshd_config`, where `use_pam` is
    from; `systemd`, whether it runs.
    """
    account = pwd.getpwuid(os.getuid())
    gids = os.getgrouplist(account.pw_name, account.pw_gid)
    lines: list[Answer] = []
    unread: list[str] = []
    # In the locale C, as pam_limits(8) says; a .conf of another folder is none of this system's.
    for path in (FILE, *sorted(FOLDER.glob("*.conf"), key=lambda p: os.fsencode(p.name))):
        try:
            lines += _about_memory(path)
        except FileNotFoundError:
            continue
        except OSError:
            unread.append(str(path))
    config = _config()
    return {
        "lines": lines[:MOST],
        "unread": unread,
        "groups": [name for name in map(_group, gids) if name],
        "gids": gids,
        "use_pam": _use_pam(config),
        "pam_limits": _in_stack("sshd"),
        "sshd_config": str(config),
        "systemd": SYSTEMD.is_dir(),
    }


def _about_memory(path: Path) -> Iterator[Answer]:
    """The lines of one file (pam_limits.c: split and parse_config_file)."""
    for number, text in enumerate(_text(path).split("\n"), 1):
        fields = text.partition("#")[0].split(None, 3)
        exempt = len(fields) == 2 and fields[1].startswith("-")
        if not exempt and (len(fields) < 4 or fields[2].lower() != "memlock"):
            continue
        yield {
            "path": str(path),
            "line": number,
            "domain": fields[0],
            "type": fields[1].lower(),
            "value": None if exempt else fields[3].strip().lower(),
        }


def _text(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.read(LIMIT).decode(errors="replace")


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return ""


def _config() -> Path:
    """The configuration of the sshd that this process came through, by its command line."""
    pid, found = os.getpid(), None
    while pid > 1:
        try:
            status = (processes.PROC / str(pid) / "stat").read_text(errors="replace")
            name, _, rest = status.partition("(")[2].rpartition(")")
            if name.startswith("sshd"):
                found = (processes.PROC / str(pid) / "cmdline").read_text(errors="replace")
            pid = int(rest.split()[1])
        except (OSError, ValueError, IndexError):
            break
    match = re.search(r"(?<=[\s\0])-f[\s\0]*([^\s\0]+)", found or "")
    return Path(match[1]) if match else SSHD_CONFIG


def _use_pam(config: Path) -> bool | None:
    """sshd's UsePAM, whose first value wins (sshd_config(5)); no is OpenSSH's default."""
    try:
        value = next((v for name, v in _sshd_lines(config) if name == "usepam"), "no")
    except OSError:
        return None
    return value.lower() == "yes"


def _sshd_lines(path: Path, depth: int = 0) -> Iterator[tuple[str, str]]:
    for text in _text(path).split("\n"):
        if not (match := SSHD_LINE.match(text)):
            continue
        name, value = match[1].lower(), match[2]
        if name == "match":
            return  # UsePAM is not allowed in what follows
        if name == "include" and depth < DEPTH:
            base = Path("/") if value.startswith("/") else SSHD_CONFIG.parent
            for included in sorted(base.glob(value.lstrip("/"))):
                yield from _sshd_lines(included, depth + 1)
        else:
            yield name, value


def _in_stack(service: str, depth: int = 0) -> bool | None:
    """Whether a PAM service's session has pam_limits (pam.d(5)); None if a file is unreadable."""
    try:
        text = _text(PAM / service)
    except OSError:
        return None
    if PAM_LIMITS.search(text):
        return True
    inner = [_in_stack(m[1], depth + 1) for m in PAM_INCLUDE.finditer(text) if depth < DEPTH]
    if True in inner:
        return True
    return None if None in inner else False
