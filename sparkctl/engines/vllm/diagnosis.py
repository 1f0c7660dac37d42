"""Why a start failed, by what Ray, vLLM and NCCL printed; pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.engines.explanation import Explanation
from sparkctl.engines.vllm.failures import CRASH, NCCL, RAY, VLLM, WAITING, explain

if TYPE_CHECKING:
    from sparkctl.engines.vllm.progress import Progress
    from sparkctl.engines.vllm.rootcause import Root
    from sparkctl.fabric.nccllog.model import LogVerdict

SEARCHED = 400  # lines in which what a start repeats while it waits is among
OF_RAY = re.compile(r"\b[Rr]ay\b|\bGCS\b|Version mismatch")
RAY_ERROR = re.compile(r"Error|mismatch|[Ff]ailed|refused|in use")


def explain_ray(
    tail: list[str], status: int | None, timeout: float
) -> tuple[str, Explanation | None]:
    """Why `ray start` failed, and the known failure in the last lines that it printed.

    `status` is None after a time-out of `timeout` seconds.
    """
    lines = [line.strip() for line in tail if line.strip()]
    if status is None:
        hint = "the last lines of its log show what it waits for"
        return f"`ray start` timed out after {timeout:g} s", Explanation("ray-timeout", hint)
    errors = [line for line in lines if RAY_ERROR.search(line)]
    last = (errors or lines or ["it printed nothing"])[-1]
    return f"`ray start` exited with status {status}: {last}", explain([last, *lines], RAY)


def explain_vllm(root: Root | None, network: LogVerdict) -> Explanation | None:
    """The known failure that a root cause is, else what broke NCCL's network.

    `network` is the verdict on NCCL's own lines. NCCL's error names no reason without NCCL_DEBUG.
    """
    if root is None:
        return None
    return (
        explain_server(root)
        or _network(network, root.text)
        or explain([str(root)], (*CRASH, *NCCL))
    )


def explain_server(root: Root) -> Explanation | None:
    """The known failure of vLLM or Ray that a root cause is."""
    text = str(root)
    return explain([text], (*VLLM, *(RAY if OF_RAY.search(text) else ())))


def explain_start(progress: Progress, *, waited: bool) -> Explanation | None:
    """Why a start failed, by its log; with `waited` also by what it repeats while it waits."""
    from sparkctl.fabric.nccllog.reader import Reader  # takes long, and only a failure needs it

    lines = progress.lines
    reader = Reader()
    reader.feed("vllm.log", (line.encode() for line in lines))
    known = explain_vllm(progress.root, reader.verdict())
    return known or (explain(lines[-SEARCHED:][::-1], WAITING) if waited else None)


def explain_wait(wait: Root) -> Explanation | None:
    """What a start waits for."""
    return explain([wait.text], WAITING)


def _network(verdict: LogVerdict, text: str) -> Explanation | None:
    """What broke NCCL's network; the code is the log reader's cause.

    It is read from NCCL's own lines of all ranks, else from what torch quotes of one
    (`Last error:`), which has no mark of NCCL.
    """
    from sparkctl.fabric.nccllog.advice import ADVICE
    from sparkctl.fabric.nccllog.errors import fault

    broken = {rank.cause for rank in verdict.ranks if rank.transport == "failed"} - {"unknown"}
    for finding in verdict.findings:
        if finding.cause in broken:
            return Explanation(finding.cause, f"{finding.summary}: {finding.fix.text}")
    quoted = (fault("WARN", line) for line in text.splitlines())
    cause = next((q.cause for q in quoted if q and q.cause != "unknown"), None)
    if cause is None:
        return None
    return Explanation(cause, f"{ADVICE[cause].summary}: {ADVICE[cause].fix.text}")
