"""What a decoding step costs: its time at the API, and what the ranks' kernels count meanwhile."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from sparkctl.facts.unread import known
from sparkctl.operations.connect import session as connected
from sparkctl.remote.command import Command

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sparkctl.inventory.models import Inventory
    from sparkctl.operations.session import Session

PROMPT = "Tell me of the sea. "
TRACED = 10  # seconds that strace counts, while nothing is timed
# Sums over all threads (proc(5)), by pid: context switches, ticks, and the niceness.
LOOK = """
import glob, json, sys
found = {}
for pid in sys.argv[1:]:
    switches = {"voluntary": 0, "nonvoluntary": 0}
    for path in glob.glob(f"/proc/{pid}/task/*/status"):
        try:
            for line in open(path):
                name, _, value = line.partition("_ctxt_switches:")
                if name in switches:
                    switches[name] += int(value)
        except OSError:
            pass
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    found[pid] = {**switches, "ticks": int(fields[11]) + int(fields[12]), "nice": int(fields[16])}
print(json.dumps(found))
"""
TOTAL = re.compile(r"^\s*100\.00\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?total$", re.M)


class Steps(NamedTuple):
    """One run: `tpot` is the median seconds between two tokens, `first` those until the first.

    By node, per token: `switches` of the ranks, and their `calls` of the system (None without
    strace); `nice` is the ranks' niceness.
    """

    tpot: float
    first: float
    tokens: int
    switches: dict[str, float]
    calls: dict[str, float | None]
    nice: dict[str, list[int]]


def measure(
    inventory: Inventory, base: Path, url: str, model: str, tokens: int, *, trace: bool = True
) -> Steps:
    """Decode alone once to warm up, once timed, once under strace with `trace`."""
    with connected(inventory, base) as session:
        pids = {
            name: [p.pid for p in known(facts.ours) if p.rank]
            for name, facts in session.facts.items()
        }
        decode(url, model, tokens)
        before = _look(session, pids)
        gaps, first = decode(url, model, tokens)
        after = _look(session, pids)
        calls = _traced(session, pids, url, model, tokens) if trace else dict.fromkeys(pids)
    count = len(gaps) + 1
    return Steps(
        median(gaps),
        first,
        count,
        {n: _switches(after[n], before[n]) / count for n in pids},
        calls,
        {n: [seen["nice"] for seen in after[n].values()] for n in pids},
    )


def decode(url: str, model: str, tokens: int) -> tuple[list[float], float]:
    """Seconds between the tokens of one completion of this length, and until the first."""
    body = {
        "model": model,
        "prompt": PROMPT,
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
    }
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("VLLM_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(f"{url}/completions", json.dumps(body).encode(), headers)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    start, seen = time.perf_counter(), list[float]()
    with direct.open(request, timeout=600) as answer:
        for line in answer:
            if line.startswith(b"data: {"):
                seen.append(time.perf_counter())
    return [later - sooner for sooner, later in pairwise(seen)], seen[0] - start


def _look(session: Session, pids: Mapping[str, list[int]]) -> dict[str, dict[str, Any]]:
    return {
        name: json.loads(_run(session, name, ("python3", "-c", LOOK, *map(str, each))))
        for name, each in pids.items()
    }


def _switches(after: Mapping[str, Any], before: Mapping[str, Any]) -> int:
    kinds = ("voluntary", "nonvoluntary")
    return sum(after[pid][kind] - before[pid][kind] for pid in before for kind in kinds)


def _traced(
    session: Session, pids: Mapping[str, list[int]], url: str, model: str, tokens: int
) -> dict[str, float | None]:
    """The system calls of the ranks per token, counted by strace while tokens are decoded.

    It slows them down, so nothing is timed meanwhile.
    """
    found: dict[str, float | None] = {}
    for name, each in pids.items():
        words = " ".join(f"-p {pid}" for pid in each)
        line = f"command -v strace >&2 && timeout {TRACED} strace -qcf {words} 2>&1; true"
        with ThreadPoolExecutor(1) as pool:
            counting, made = pool.submit(_run, session, name, ("sh", "-c", line)), 0
            while not counting.done():
                made += len(decode(url, model, tokens)[0]) + 1
        total = TOTAL.search(counting.result())
        found[name] = int(total[1]) / made if total else None
    return found


def _run(session: Session, node: str, argv: tuple[str, ...]) -> str:
    command = Command(argv, timeout=TRACED + 60, mutates=False, title="look at the ranks")
    return session.connection(session.node(node)).run(command).stdout.decode()
