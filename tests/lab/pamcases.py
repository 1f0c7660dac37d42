"""Random limits files, and what a login has with them by this machine's own pam_limits.

Run in a mount namespace of its own; prints a JSON line a case: the lines as a node reads them, and
the KiB that a login may lock. Only `hard` and `-`: where the first process has no limit and root
lacks CAP_SYS_RESOURCE, pam_limits cannot set `soft` alone.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

from sparkctl.node import limits

CASES = 60
USER, UID, GID = "games", 5, 60  # Debian's and Ubuntu's
PAM = """\
auth sufficient pam_permit.so
account required pam_permit.so
session required pam_limits.so
"""
DOMAINS = f"{USER} @{USER} * root @users %{USER} 5: 0:4 :5 :60 @60: @:60 @0:59 4:6 x:y".split()
NAMES = ("a", "B", "90-x", "zz", "_")
TYPES, ITEMS = ("hard", "-", "Hard"), ("memlock", "memlock", "MEMLOCK", "nofile")
VALUES = ("64", "128", "256", "512", "1024 # c", "many")


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def cover(path: Path, folder: Path, text: str) -> None:
    """Show another file at a path, in this mount namespace alone."""
    copy = folder / path.name
    copy.write_text(text)
    run("mount", "--bind", str(copy), str(path))


def lines(chance: random.Random) -> str:
    found = ""
    for _ in range(chance.randint(0, 3)):
        words = [chance.choice(kind) for kind in (DOMAINS, TYPES, ITEMS, VALUES)]
        found += f"{words[0]} -\n" if chance.random() < 0.06 else " ".join(words) + "\n"
    return found


def main(seed: int, folder: Path) -> None:
    chance = random.Random(seed)
    run("mount", "--make-rprivate", "/")
    cover(Path("/etc/pam.d/su"), folder, PAM)
    cover(limits.FILE, folder, "")
    run("mount", "-t", "tmpfs", "tmpfs", str(limits.FOLDER))
    for _ in range(CASES):
        for old in limits.FOLDER.iterdir():
            old.unlink()
        places = [limits.FOLDER / f"{name}.conf" for name in chance.sample(NAMES, 2)]
        for path in (limits.FILE, *places):
            path.write_text(lines(chance))
        facts = {**limits.limits(), "groups": [USER], "gids": [GID]}
        got = run("su", "-s", "/bin/bash", USER, "-c", "ulimit -S -l")
        print(json.dumps({"facts": facts, "got": got}))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
