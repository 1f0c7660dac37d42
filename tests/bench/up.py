"""How long `up` takes against the same by bare ssh commands, in the same lab.

`python -m tests.bench.up` (after env/setup) alternates both, each in a fresh lab with warm caches:
the script has exactly the environment and the command lines that `plan` shows, `up` its preflight.
What follows vLLM's first log line is vLLM's own time, so the seconds until then are shown apart.
`--idle` compares an `up` that has nothing to do with `ssh NODE true` to all nodes at once. Prints
tables in Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.cli.lab import cache_folder
from sparkctl.lab import lab as labs
from tests.bench import byhand
from tests.lab.cluster import BASE, Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IDLE_PAIRS = 9
LOGS = "~/bench/vllm.log ~/.sparkctl/*/logs/*/vllm.log"
VLLM_LINE = r"\[[a-z_]+\.py:[0-9]+\]"  # in each line that vLLM logs, in none of ours
FIRST_LINE, WHOLE = "until vLLM's first log line", "whole"
LIMIT = 600  # seconds


class Times(NamedTuple):
    """Seconds by stage, of one run."""

    ours: dict[str, float]
    by_hand: dict[str, float]


def as_installed() -> None:
    """Have every run find its bytecode, as an installed sparkctl does."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(cache_folder() / "bench-bytecode")


@contextmanager
def fresh_lab(base: Path = BASE) -> Iterator[Cluster]:
    """A new lab of two nodes, whose caches are those of the lab before."""
    cache = cache_folder()
    labs.down(base)
    lab = labs.up(2, base, cache / "runtime", cache / "lab", model=True)
    try:
        yield Cluster(lab, lab.inventory)
    finally:
        labs.down(base)


@contextmanager
def first_line(cluster: Cluster, found: dict[str, float]) -> Iterator[None]:
    """Add the seconds until vLLM's first line is in its log on the head, and those of the block."""
    watch = f"until grep -qsE '{VLLM_LINE}' {LOGS}; do sleep 0.05; done; date +%s.%N"
    argv = [*cluster.ssh("spark-1"), watch]
    watcher = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    time.sleep(1)  # for its login, which is no part of what is measured
    start, begun = time.time(), time.monotonic()
    try:
        yield
        found[WHOLE] = time.monotonic() - begun
        found[FIRST_LINE] = float(watcher.communicate(timeout=LIMIT)[0]) - start
    finally:
        watcher.kill()


def by_sparkctl() -> dict[str, float]:
    """`up` in a fresh lab."""
    found: dict[str, float] = {}
    with fresh_lab() as cluster:
        with first_line(cluster, found):
            report = json.loads(cluster.up("--json").stdout)
        seconds: dict[str, float] = report["seconds"]
        return seconds | found


def by_hand() -> dict[str, float]:
    """The script in a fresh lab."""
    found: dict[str, float] = {}
    with fresh_lab() as cluster:
        plan = byhand.prepare(cluster)
        with first_line(cluster, found):
            stages = byhand.run(cluster, plan)
        return stages | found


def idle(pairs: int) -> list[Times]:
    """`up` with nothing to do, and ssh to all nodes at once, on a cluster that serves."""
    with fresh_lab() as cluster:
        cluster.up()
        measured = [Times(_idle_up(cluster), _ssh(cluster)) for _ in range(pairs + 1)]
    return measured[1:]


def _idle_up(cluster: Cluster) -> dict[str, float]:
    start = time.monotonic()
    done = cluster.up()
    seconds = time.monotonic() - start
    assert done.stdout.startswith("no changes"), done.stdout
    return {WHOLE: seconds}


def _ssh(cluster: Cluster) -> dict[str, float]:
    start = time.monotonic()
    running = [
        subprocess.Popen([*cluster.ssh(node.name), "true"], stdin=subprocess.DEVNULL)
        for node in cluster.lab.nodes
    ]
    assert not any(process.wait(LIMIT) for process in running)
    return {WHOLE: time.monotonic() - start}


def print_table(measured: list[Times], script: str) -> None:
    """The medians of each stage with their ratio, and every run's."""
    stages = [*dict.fromkeys([*measured[0].by_hand, *measured[0].ours])]
    last = [stage for stage in (FIRST_LINE, WHOLE) if stage in stages]
    print(f"| median of {len(measured)} | sparkctl, s | {script}, s | ratio |\n|---|---|---|---|")
    for stage in [s for s in stages if s not in last] + last:
        ours, theirs = (
            [side.get(stage) for side in sides] for sides in zip(*measured, strict=True)
        )
        print(f"| {stage} | {_median(ours)} | {_median(theirs)} | {_ratio(ours, theirs)} |")
    for stage in last:
        for name, sides in zip(("sparkctl", script), zip(*measured, strict=True), strict=True):
            print(f"\n{name}, {stage}: " + ", ".join(f"{side[stage]:.2f}" for side in sides))


def _median(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{median(known):.2f}" if known else "-"


def _ratio(ours: list[float | None], theirs: list[float | None]) -> str:
    upper, lower = _median(ours), _median(theirs)
    return f"{float(upper) / float(lower):.2f}" if "-" not in (upper, lower) else "-"


def main() -> None:
    """Warm both, then measure alternating pairs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, help="how many (default: 5, with --idle 9)")
    parser.add_argument("--idle", action="store_true", help="compare an up with nothing to do")
    options = parser.parse_args()
    byhand.checked()
    if options.idle:
        as_installed()
        print_table(idle(options.pairs or IDLE_PAIRS), "ssh to both")
        return
    as_installed()
    by_sparkctl()
    by_hand()
    measured = []
    for _ in range(options.pairs or 5):
        measured.append(Times(by_sparkctl(), by_hand()))
        print(
            *(f"{side[FIRST_LINE]:.1f} of {side[WHOLE]:.1f} s" for side in measured[-1]), flush=True
        )
    print_table(measured, "bare ssh")


if __name__ == "__main__":
    main()
