"""How long `up` takes, stage by stage, beside the same by bare ssh commands in the same lab.

Run as `python -m tests.bench.up` after env/setup; prints a table in Markdown.
"""

from __future__ import annotations

import json
import subprocess
import time
from itertools import pairwise
from pathlib import Path

from sparkctl.cli.lab import cache_folder
from sparkctl.lab import lab as labs
from tests.lab.cluster import BASE, Cluster

SCRIPT = Path(__file__).parent / "bare_ssh.sh"


def by_hand(lab: labs.Lab, runtime: Path) -> dict[str, float]:
    """The script's stages, in seconds."""
    argv = [str(SCRIPT), str(lab.base), *(n.address for n in lab.nodes), str(runtime)]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
    moments = [line.split(" ", 1) for line in done.stdout.splitlines()]
    starts = [(float(when), what) for when, what in moments]
    return {what: round(after - when, 2) for (when, what), (after, _) in pairwise(starts)}


def by_sparkctl(lab: labs.Lab) -> dict[str, float]:
    """sparkctl's own stages, and the whole run with the interpreter's start."""
    cluster = Cluster(lab, lab.inventory)
    start = time.monotonic()
    report = json.loads(cluster.up("--json").stdout)
    seconds: dict[str, float] = report["seconds"]
    return {**seconds, "whole": round(time.monotonic() - start, 2)}


def main() -> None:
    """One run of each to fill the caches, then one of each to measure."""
    cache = cache_folder()
    found: dict[str, dict[str, float]] = {}
    for name in ("warm", "sparkctl", "by hand"):
        lab = labs.up(2, BASE, cache / "runtime", cache / "lab", model=True)
        try:
            if name == "by hand":
                found[name] = by_hand(lab, cache / "runtime")
                found[name]["whole"] = round(sum(found[name].values()), 2)
            else:
                found[name] = by_sparkctl(lab)
        finally:
            labs.down(BASE)
    print("| stage | sparkctl, s | bare ssh, s |\n|---|---|---|")
    for stage in found["sparkctl"]:
        print(f"| {stage} | {found['sparkctl'][stage]} | {found['by hand'].get(stage, '-')} |")


if __name__ == "__main__":
    main()
