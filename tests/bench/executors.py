"""What a decoding step costs under each of vLLM's executors, Ray and mp.

`python -m tests.bench.executors [-i INVENTORY]` alternates both on the same machines and model,
each with its caches warm: `up`, completions of one stream, `down`. Without an inventory it makes a
lab.
`--first-boot` compares the first start with empty compile caches, in folders of its own, with the
second one instead. Prints one JSON document with every run, and a table in Markdown on stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from contextlib import contextmanager
from math import exp, log
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any

import yaml

from sparkctl.engines.inventory import load
from tests.bench.steps import measure
from tests.bench.up import as_installed, fresh_lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXECUTORS = ("ray", "mp")
DRAWS = 10_000
# Variables of the folders in which vLLM and what it uses keep what they compiled.
CACHES = (
    "VLLM_CACHE_ROOT",
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
    "FLASHINFER_WORKSPACE_BASE",
)


@contextmanager
def variant(inventory: Path, executor: str, caches: str = "") -> Iterator[Path]:
    """The inventory with this executor, in the same folder, for what it names relative to it."""
    value = yaml.safe_load(inventory.read_text())
    for service in value.get("services", {}).values() or [value["vllm"]]:
        service["executor"] = executor
        backend = service.get("arguments", {}).pop("distributed-executor-backend", None)
        assert backend in (None, *EXECUTORS), backend
    if caches:
        own = {name: f"{caches}/{executor}/{name.lower()}" for name in CACHES}
        value.setdefault("env", {}).setdefault("set", {}).update(own)
    path = inventory.with_name(f".bench-{os.getpid()}-{executor}.yaml")
    path.write_text(yaml.safe_dump(value))
    try:
        yield path
    finally:
        path.unlink()


def run(path: Path, tokens: int) -> dict[str, Any]:
    """One start, what its steps cost, and its end."""
    inventory = load(path)
    try:
        up = json.loads(_sparkctl("up", "--yes", "--json", "-i", str(path)))
        steps = measure(inventory, path.parent, up["endpoint"], up["model"], tokens)
        return {"seconds": up["seconds"], **steps._asdict()}
    finally:
        _sparkctl("down", "--json", "-i", str(path))


def _sparkctl(*args: str, code: int = 0) -> str:
    argv = [sys.executable, "-m", "sparkctl", *args]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != code:
        raise SystemExit(f"sparkctl {args[0]} failed: {done.stdout}")
    return done.stdout


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """The geometric mean of ratios and its 95 % interval, by bootstrap."""
    logs, draw = [log(ratio) for ratio in ratios], random.Random(1)
    means = sorted(mean(draw.choices(logs, k=len(logs))) for _ in range(DRAWS))
    low, high = means[int(0.025 * DRAWS)], means[int(0.975 * DRAWS)]
    return exp(mean(logs)), exp(low), exp(high)


def compare(inventory: Path, pairs: int, tokens: int) -> dict[str, list[dict[str, Any]]]:
    """Alternating runs, after one of each that warms the caches."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in EXECUTORS}
    for number in range(pairs + 1):
        for name in EXECUTORS if number % 2 else EXECUTORS[::-1]:
            with variant(inventory, name) as path:
                one = run(path, tokens)
            _say(f"{number or 'warm-up'}: {name} {1e3 * one['tpot']:.2f} ms a step")
            if number:
                found[name].append(one)
    return found


def boots(inventory: Path, tokens: int) -> dict[str, list[dict[str, Any]]]:
    """The first start of each executor with empty caches, and the one after it."""
    folder = f"~/.cache/sparkctl-bench-{os.getpid()}"
    found = {}
    for name in EXECUTORS:
        with variant(inventory, name, folder) as path:
            found[name] = [run(path, tokens) for _ in range(2)]
            _remove(path, folder)
    return found


def _remove(path: Path, folder: str) -> None:
    from sparkctl.operations.connect import session as connected
    from sparkctl.remote.command import Command

    with connected(load(path), path.parent, facts=False) as session:
        for node in session.inventory.nodes:
            command = Command(("sh", "-c", f"rm -rf {folder}"), title="remove the bench's caches")
            session.connection(node).run(command)


def document(inventory: Path, found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """All runs, the ratio of the steps of each pair, and on what they were made."""
    # Nothing runs any more.
    status = json.loads(_sparkctl("status", "--json", "-i", str(inventory), code=1))
    ratios = [m["tpot"] / r["tpot"] for r, m in zip(found["ray"], found["mp"], strict=True)]
    middle, low, high = interval(ratios)
    return {
        "machines": {node["name"]: node.get("gpu") for node in status["nodes"]},
        "imitated": status["imitated"],
        "runs": found,
        "mp_by_ray": {"tpot": middle, "interval_95": [low, high], "pairs": len(ratios)},
    }


def table(result: dict[str, Any]) -> Iterator[str]:
    """The medians of both, in Markdown."""
    yield "| median | ray | mp |\n|---|---|---|"
    rows: dict[str, Callable[[dict[str, Any]], float]] = {
        "a step, ms": lambda one: 1e3 * one["tpot"],
        "first token, ms": lambda one: 1e3 * one["first"],
        "context switches of the ranks a step": lambda one: sum(one["switches"].values()),
        "system calls of the ranks a step": lambda one: _sum(one["calls"].values()),
        "niceness": lambda one: max(max(nice) for nice in one["nice"].values()),
        "`up`, s": lambda one: sum(one["seconds"].values()),
    }
    for title, value in rows.items():
        sides = [[value(one) for one in result["runs"][name]] for name in EXECUTORS]
        yield f"| {title} | " + " | ".join(f"{median(side):.2f}" for side in sides) + " |"
    ratio = result["mp_by_ray"]
    low, high = ratio["interval_95"]
    what = f"mp/ray, a step: {ratio['tpot']:.3f} (95 %: {low:.3f} to {high:.3f})"
    yield f"{what}, {ratio['pairs']} pairs"


def _sum(values: Any) -> float:
    known = [*values]
    return float("nan") if None in known else sum(known)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-i", "--inventory", type=Path, help="default: a lab's")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=200, help="of each completion")
    parser.add_argument("--first-boot", action="store_true")
    options = parser.parse_args()
    as_installed()
    if options.inventory:
        _print(options.inventory, options)
        return
    with fresh_lab() as cluster:
        _print(cluster.inventory, options)


def _print(inventory: Path, options: argparse.Namespace) -> None:
    if options.first_boot:
        found = boots(inventory, options.tokens)
    else:
        found = compare(inventory, options.pairs, options.tokens)
    result = document(inventory, found)
    for line in table(result):
        _say(line)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
