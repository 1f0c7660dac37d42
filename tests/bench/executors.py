"""What a decoding step costs under each of vLLM's executors, Ray and mp.

`python -m tests.bench.executors [-i INVENTORY]` alternates both on the same machines and model,
each with its caches warm: `up`, completions of one stream, `down`. Without an inventory it makes a
lab.
`--first-boot` compares the first start with empty compile caches, in folders of its own, with the
second one instead. `--at-once` starts both once, each in a lab of its own, and alternates only the
completions: so load that comes and goes on this machine is the same for both of a pair. Prints one
JSON document with every run, and a table in Markdown on stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from math import exp, isnan, log
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any

import yaml

from sparkctl.engines.inventory import load
from tests.bench.steps import measure
from tests.bench.up import as_installed, fresh_lab
from tests.lab.cluster import BASE

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
    with served(path) as look:
        return look(tokens, trace=True)


@contextmanager
def served(path: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """What tells what steps cost while the cluster of this inventory serves."""

    def look(tokens: int, *, trace: bool) -> dict[str, Any]:
        where = inventory, path.parent, up["endpoint"], up["model"]
        return {"seconds": up["seconds"], **measure(*where, tokens, trace=trace)._asdict()}

    inventory = load(path)
    try:
        up = json.loads(_sparkctl("up", "--yes", "--json", "-i", str(path)))
        yield look
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


def at_once(pairs: int, tokens: int) -> dict[str, Any]:
    """Alternating completions of both, which serve at once; the document."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in EXECUTORS}
    with ExitStack() as stack:
        looks = {}
        for name in EXECUTORS:
            lab = stack.enter_context(fresh_lab(BASE.with_name(f"{BASE.name}-{name}")))
            path = stack.enter_context(variant(lab.inventory, name))
            looks[name] = stack.enter_context(served(path))
        for number in range(pairs):
            for name in EXECUTORS if number % 2 else EXECUTORS[::-1]:
                one = looks[name](tokens, trace=not number)
                _say(f"{number}: {name} {1e3 * one['tpot']:.2f} ms a step")
                found[name].append(one)
        return document(path, found, code=0)


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


def document(
    inventory: Path, found: dict[str, list[dict[str, Any]]], *, code: int = 1
) -> dict[str, Any]:
    """All runs, the ratio of the steps of each pair, and on what they were made.

    `code` is what `status` exits with: 1 when nothing runs any more.
    """
    status = json.loads(_sparkctl("status", "--json", "-i", str(inventory), code=code))
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
        yield f"| {title} | " + " | ".join(f"{_median(side):.2f}" for side in sides) + " |"
    for name in EXECUTORS:
        each = (f"{sum(one['seconds'].values()):.1f}" for one in result["runs"][name])
        yield f"`up` with {name}, s: {', '.join(dict.fromkeys(each))}"
    ratio = result["mp_by_ray"]
    low, high = ratio["interval_95"]
    what = f"mp/ray, a step: {ratio['tpot']:.3f} (95 %: {low:.3f} to {high:.3f})"
    yield f"{what}, {ratio['pairs']} pairs"


def _median(values: list[float]) -> float:
    """Of those that are known."""
    return median([value for value in values if not isnan(value)] or [float("nan")])


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
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--first-boot", action="store_true")
    how.add_argument("--at-once", action="store_true", help="in labs")
    options = parser.parse_args()
    as_installed()
    if options.at_once:
        _print(at_once(options.pairs, options.tokens))
    elif options.inventory:
        _print(_measured(options.inventory, options))
    else:
        with fresh_lab() as cluster:
            _print(_measured(cluster.inventory, options))


def _measured(inventory: Path, options: argparse.Namespace) -> dict[str, Any]:
    if options.first_boot:
        return document(inventory, boots(inventory, options.tokens))
    return document(inventory, compare(inventory, options.pairs, options.tokens))


def _print(result: dict[str, Any]) -> None:
    for line in table(result):
        _say(line)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
