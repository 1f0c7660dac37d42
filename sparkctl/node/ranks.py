"""What a rank is: the process that runs a part of the model. The one definition; pure.

The node classifies each process when it reads it (processes.py); all others read the field.
"""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkctl.node.processes import Process

# The titles of vLLM 0.14 to 0.33: actors of Ray's executor 2 (`ray::RayWorkerProc.run`) and 1
# (`ray::RayWorkerWrapper.execute_method`), mp's `VLLM::Worker_PP0_TP1`, and the engine's own
# `VLLM::EngineCore_DP1`. VLLM_PROCESS_NAME_PREFIX replaces VLLM. The kernel's name of a process
# (proc(5), comm) has the first 15 characters alone: `ray::RayWorkerW`, `VLLM::EngineCor`.
# SGLang's: `sglang::scheduler_TP0`, or `_TP0_PP0` (0.5.23, run).
WORKER = re.compile(r"ray::RayWorker|(?!ray::)[^\s:/]+::Worker(?![a-z])|sglang::schedul")
ENGINE = re.compile(r"(?!ray::)[^\s:/]+::EngineCor")
# vLLM's arguments by which one engine process is enough (its ParallelConfig, 0.14 to 0.33).
BACKEND, IN_PROCESS = "distributed-executor-backend", "uni"
SIZES = (
    *("tensor-parallel-size", "tp"),
    *("pipeline-parallel-size", "pp"),
    *("prefill-context-parallel-size", "pcp"),
)


def is_worker(command: str) -> bool:
    """Whether a command line is the title of a rank that has a process of its own."""
    return bool(WORKER.match(command))


def ranks(table: Mapping[int, Process], arguments: Callable[[int], Sequence[str]]) -> set[int]:
    """The pids of the ranks among the processes of a node, by pid.

    `arguments` returns the command line of a process. An engine is a rank if it runs the model
    itself, as for a single GPU: it has no worker, and `vllm serve` asked for none. A child that a
    rank forked has its title and is none.
    """
    workers = _without_forks(table, WORKER)
    served = {table[pid].ppid for pid in workers}
    engines = _without_forks(table, ENGINE) - served
    return workers | {pid for pid in engines if in_process(arguments(table[pid].ppid))}


def _without_forks(table: Mapping[int, Process], title: re.Pattern[str]) -> set[int]:
    found = {pid for pid, process in table.items() if title.match(process.command)}
    return {pid for pid in found if table[pid].ppid not in found}


def in_process(argv: Sequence[str]) -> bool:
    """Whether the engine of this `vllm serve` runs the model in its own process.

    That is vLLM's default for one GPU; Ray's executor has an actor even for one.
    """
    options = dict(_options(argv))
    alone = all(options.get(size, "1") == "1" for size in SIZES)
    return "serve" in argv and alone and options.get(BACKEND, IN_PROCESS) == IN_PROCESS


def _options(argv: Sequence[str]) -> list[tuple[str, str]]:
    """Each option with its value, as `--name value` or `--name=value`; the last one counts."""
    found = []
    for word, after in zip_longest(argv, argv[1:], fillvalue=""):
        if word.startswith("-"):
            name, sign, value = word.lstrip("-").partition("=")
            found.append((name.replace("_", "-"), value if sign else after))
    return found
