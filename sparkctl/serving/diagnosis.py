"""Why a start failed, by what Ray, vLLM and NCCL printed; pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.fabric.nccllog.advice import ADVICE
from sparkctl.fabric.nccllog.errors import fault
from sparkctl.fabric.nccllog.lines import parse
from sparkctl.fabric.nccllog.reader import Reader
from sparkctl.serving.failures import NCCL, RAY, VLLM, WAITING, Explanation, explain
from sparkctl.serving.progress import is_cause

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SEARCHED = 400  # lines; enough for what ranks print one after the other when they fail
ERROR = re.compile(r"(?i)error|exception|fail|fatal|killed|NCCL WARN")
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


def explain_vllm(verdict: str | None, lines: Sequence[str], *, waited: bool) -> Explanation | None:
    """The known failure in the verdict, else in the last errors backwards, else in what NCCL
    prints; with `waited` also in what was repeated while nothing moved on.
    """
    last = lines[-SEARCHED:][::-1]
    causes = [verdict or "", *filter(is_cause, last)]
    errors = [line for line in causes if ERROR.search(line)]
    return (
        explain(errors, VLLM)
        or _network(lines, causes)
        or explain(errors, NCCL)
        or (explain(last, WAITING) if waited else None)
    )


def _network(lines: Iterable[str], causes: Iterable[str]) -> Explanation | None:
    """What broke NCCL's network; the code is the log reader's cause.

    It is read from NCCL's own lines of all ranks, else from what torch quotes of one
    (`Last error:`), which has no mark of NCCL.
    """
    reader = Reader()
    reader.feed("vllm.log", (line.encode() for line in lines))
    verdict = reader.verdict()
    broken = {rank.cause for rank in verdict.ranks if rank.transport == "failed"} - {"unknown"}
    for finding in verdict.findings:
        if finding.cause in broken:
            return Explanation(finding.cause, f"{finding.summary}: {finding.fix.text}")
    quoted = (fault("WARN", line) for line in causes if parse(line) is None)
    cause = next((q.cause for q in quoted if q and q.cause != "unknown"), None)
    if cause is None:
        return None
    return Explanation(cause, f"{ADVICE[cause].summary}: {ADVICE[cause].fix.text}")
