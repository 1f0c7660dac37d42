"""Known failures of a start, told by what Ray or vLLM printed; pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.fabric.nccllog.advice import ADVICE
from sparkctl.fabric.nccllog.errors import fault
from sparkctl.fabric.nccllog.lines import parse
from sparkctl.fabric.nccllog.reader import Reader
from sparkctl.serving.progress import is_cause

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Table = tuple[tuple[str, str], ...]  # pattern of one line, remedy

# Seen with Ray 2.60 and vLLM 0.33, reports of DGX Spark users.
RAY: Table = (
    (r"Version mismatch", "install the same Ray and Python, to the patch level, on every node"),
    (r"Address already in use|port \d+ .*(?:in use|occupied)", "the port is taken: set ray.port"),
    (r"(?i)unable to connect to GCS|Failed to (?:get|connect to) .*(?:GCS|cluster)",
     "the head's port is not reached over the fabric: a firewall, or the wrong address"),
    (r"(?i)authentication|unauthenticated|invalid token",
     "the head runs with another token: `sparkctl down`, then `up`"),
)  # fmt: skip

GPUS = "Ray has too few free GPUs: `sparkctl status`"
HANGS = (
    "a rank hangs, or died: `up --keep`, then `sparkctl doctor` and `py-spy dump --pid` of the rank"
    " on each node; NCCL_DEBUG: INFO in env.set shows what NCCL waits for"
)
WEIGHTS = "weights are missing, cut short or different: copy vllm.model to that node again"
VLLM: Table = (
    (r"Free memory on device .* less than",
     "drop the page cache, or lower vllm.arguments gpu-memory-utilization"),
    (r"No available memory for the cache blocks",
     "raise gpu-memory-utilization or lower max-model-len"),
    (r"To serve at least one request|model's max seq len \(",
     "lower vllm.arguments max-model-len, or raise gpu-memory-utilization"),
    (r"max_model_len \(\d+\) is greater than", "lower vllm.arguments max-model-len"),
    (r"CUDA out of memory",
     "lower vllm.arguments gpu-memory-utilization: the CPU's programs use the same memory"),
    (r"running low on memory|killed due to memory pressure|ray\.exceptions\.OutOfMemoryError",
     "Ray's memory monitor ended it: leave RAY_memory_monitor_refresh_ms at 0, the built-in value,"
     " in every env layer, or lower vllm.arguments gpu-memory-utilization"),
    (r"error: (?:unrecognized|argument|the following)", "correct vllm.arguments in the inventory"),
    # torch's rendezvous; the API's port is told in other words.
    (r"EADDRINUSE|server socket has failed to listen",
     "a port that torch chose is in use: MASTER_PORT and VLLM_PORT stay out of the env layers, then"
     " `up` again"),
    (r"[Aa]ddress already in use", "set vllm.port to a free port"),
    # With RemoveIPC=yes logind removes them at a session's end (logind.conf(5)).
    (r"No such file or directory: '?/(?:psm_|dev/shm/)",
     "its shared memory was removed: `sudo loginctl enable-linger` for that account on each node"),
    (r"SafetensorError|weights were not initialized from checkpoint", WEIGHTS),
    (r"No such file.*\.(?:safetensors|bin|json|jinja|model)\b|not a valid model"
     r"|does not appear to have a file|Repo id must|Invalid repository ID",
     "check vllm.model: the checkpoint's path, the same on every node"),
    (r"Permission denied",
     "let the account of ssh.user own that path on each node: what a container wrote, in the model"
     " or ~/.cache, belongs to root (`ls -l`, `sudo chown -R`)"),
    (r"No space left on device",
     "make room on that node, where the model, ~/.cache, /tmp and the logs are: `df -h`"),
    (r"Cannot provide a placement group|available \w+ in the placement group", GPUS),
    (r"undefined symbol", "torch and vllm do not match in the runtime: reinstall both together"),
    (r"no kernel image|[Ii]llegal instruction",
     "a kernel was built for another GPU than GB10: set another attention-backend in"
     " vllm.arguments (moe-backend or linear-backend, where the trace names that)"),
    (r"Unable to find address for", "NCCL/GLOO_SOCKET_IFNAME names no interface of that node"),
    (r"unique IP address",
     "VLLM_HOST_IP is the same on two nodes: leave it at ${FABRIC_ADDRESS}, the built-in value"),
    (r"ibv_reg_mr|ibv_.*Cannot allocate memory",
     "memlock limit or a KHO kernel: `sparkctl doctor`"),
    (r"RPC call to \w+ timed out", HANGS),
)  # fmt: skip
# What a start that waits in vain repeats; vLLM says it at level INFO.
WAITING: Table = (
    (
        r"No available shared memory broadcast block",
        f"{HANGS}; if all ranks only compile, raise vllm.stall_timeout",
    ),
    (r"Waiting for creating a placement group", GPUS),
)
# Where NCCL says that it failed, and nothing of why: without NCCL_DEBUG it prints no reason.
NCCL: Table = (
    (r"NCCL error.*invalid usage|ncclInvalidUsage",
     "give NCCL_IB_HCA each node's own devices, or leave it out of every env layer:"
     " `sparkctl doctor`"),
    (r"NCCL error|nccl(?:System|Internal|Remote|UnhandledCuda)Error",
     "`sparkctl doctor` checks the fabric; set NCCL_DEBUG: INFO under env.set, and the log of the"
     " next `up` tells the cause"),
)  # fmt: skip

SEARCHED = 400  # lines; what ranks print one after the other when they fail fits in
TELLING = re.compile(r"(?i)error|exception|fail|fatal|killed|NCCL WARN")


def explain_ray(tail: list[str], status: int | None, timeout: float) -> tuple[str, str | None]:
    """What `ray start` died of, and the remedy, from the last lines that it printed."""
    lines = [line.strip() for line in tail if line.strip()]
    if status is None:
        return f"`ray start` did not end within {timeout:g} s", "see the log below"
    telling = [x for x in lines if re.search(r"Error|mismatch|[Ff]ailed|refused|in use", x)]
    said = (telling or lines or ["nothing printed"])[-1]
    return f"`ray start` ended with status {status}: {said}", remedy([said, *lines], RAY)


def explain_vllm(verdict: str | None, lines: Sequence[str], *, waited: bool) -> str | None:
    """The remedy of what vLLM failed of: by the verdict, then by its last errors backwards, then by
    what NCCL says; with `waited` also by what it repeated while nothing went on.
    """
    last = lines[-SEARCHED:][::-1]
    causes = [verdict or "", *filter(is_cause, last)]
    errors = [line for line in causes if TELLING.search(line)]
    return (
        remedy(errors, VLLM)
        or _network(lines, causes)
        or remedy(errors, NCCL)
        or (remedy(last, WAITING) if waited else None)
    )


def remedy(lines: Iterable[str], table: Table) -> str | None:
    """The remedy of the first line that has a known pattern."""
    found = (cure for line in lines for pattern, cure in table if re.search(pattern, line))
    return next(found, None)


def _network(lines: Iterable[str], causes: Iterable[str]) -> str | None:
    """What broke NCCL's network and the cure: from its own lines of all ranks, else from what torch
    quotes of one (`Last error:`), which nothing marks as NCCL's.
    """
    reader = Reader()
    reader.feed("vllm.log", (line.encode() for line in lines))
    verdict = reader.verdict()
    broken = {rank.cause for rank in verdict.ranks if rank.transport == "failed"} - {"unknown"}
    for finding in verdict.findings:
        if finding.cause in broken:
            return f"{finding.summary}: {finding.fix.text}"
    quoted = (fault("WARN", line) for line in causes if parse(line) is None)
    told = next((ADVICE[q.cause] for q in quoted if q and q.cause != "unknown"), None)
    return f"{told.summary}: {told.fix.text}" if told else None
