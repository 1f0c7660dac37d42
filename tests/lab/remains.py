"""What this machine still has of a lab."""

from __future__ import annotations

import subprocess
from pathlib import Path

from sparkctl.lab import lab as labs
from sparkctl.lab.containers.cgroups import CGROUPS
from sparkctl.lab.spec import prefix


def remains(base: Path) -> list[str]:
    """A lab's namespaces, links, mounts, cgroups, processes, and its folder."""
    spaces = subprocess.check_output(["ip", "netns"], text=True).splitlines()
    links = subprocess.check_output(["ip", "-oneline", "link"], text=True).splitlines()
    mounts = Path("/proc/mounts").read_text().splitlines()
    found = [x for x in spaces + links if prefix(base) in x] + [x for x in mounts if str(base) in x]
    found += [str(x) for x in CGROUPS.glob(f"**/{prefix(base)}*")]
    found += [str(p.pid) for p in labs.processes(base)]
    return found + ([str(base)] if base.exists() else [])
