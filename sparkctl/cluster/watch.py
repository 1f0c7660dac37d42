"""Watching vLLM start: by progress in its log, never by a fixed time."""

from __future__ import annotations

import json
import time
from typing import Any

from sparkctl.cluster.apiview import TOKENS, ask_api
from sparkctl.cluster.run import Run
from sparkctl.errors import ServingError
from sparkctl.node.follow import INTERVAL
from sparkctl.remote import nodecall
from sparkctl.serving.diagnosis import VLLM, remedy
from sparkctl.serving.progress import Progress

DAY = 86_400.0  # bound of the follower on the node; it ends with the connection
FIRST_COMPLETION = 600.0  # seconds for the first tokens: kernels may still be compiled


def watch_start(run: Run, started: dict[str, Any], path: str) -> None:
    """Follow the log until vLLM is ready, then ask for a completion of a few tokens.

    Raises ServingError with the cause and the log's tail on a fatal line, a dead process, or
    silence for longer than vllm.stall_timeout.
    """
    progress = Progress()
    _follow(run, started, path, progress)
    run.reporter.stage("asking for a completion", None)
    answer = complete(run)
    if "error" in answer:
        raise _failure(run, f"vLLM is ready, but generates nothing: {answer['error']}", progress)


def complete(run: Run) -> dict[str, Any]:
    """A real completion, the first of a start or one that proves that it still serves."""
    bound = FIRST_COMPLETION + 30
    return ask_api(run.session, tokens=TOKENS, timeout=FIRST_COMPLETION, bound=bound)


def _follow(run: Run, started: dict[str, Any], path: str, progress: Progress) -> None:
    head = run.session.inventory.head
    stall = run.session.inventory.vllm.stall_timeout
    request = {
        "cluster": run.cluster,
        "path": path,
        "offset": started["offset"],
        "pid": started["pid"],
        "started": started["started"],
    }
    command = nodecall.call("follow.follow", request, timeout=DAY, mutates=False, title="vLLM log")
    heard = time.monotonic()
    with run.session.pool.connections[head.name].stream(command, timeout=5 * INTERVAL) as lines:
        for line in lines:
            if line is not None:
                event = json.loads(line)
                if "exited" in event:
                    raise _failure(run, "vLLM ended during its start", progress)
                heard = time.monotonic()
                if progress.feed(event.get("text", "")):
                    run.reporter.stage(progress.title, progress.percent)
                if progress.ready:
                    return
                if progress.fatal:
                    raise _failure(run, "vLLM failed to start", progress)
            elif time.monotonic() - heard > stall:
                raise _failure(
                    run, f"vLLM's log is silent for {stall:g} s at stage {progress.title}", progress
                )
    raise _failure(run, "the connection to vLLM's log was lost", progress)


def _failure(run: Run, what: str, progress: Progress) -> ServingError:
    tail = list(progress.tail)
    cause = f": {progress.verdict}" if progress.verdict else ""
    return ServingError(
        what + cause,
        node=run.session.inventory.head.name,
        hint=remedy([progress.verdict or "", *tail], VLLM),
        log_tail=tail,
    )
