"""Watching vLLM start: by progress in its log, never by a fixed time."""

from __future__ import annotations

import json
import time
from typing import Any

from sparkctl.cluster.run import Run
from sparkctl.errors import ServingError
from sparkctl.node.follow import INTERVAL
from sparkctl.remote import nodecall
from sparkctl.serving.diagnosis import VLLM, remedy
from sparkctl.serving.progress import Progress

DAY = 86_400.0  # bound of the follower on the node; it ends with the connection
FIRST_COMPLETION = 600.0  # seconds for the first tokens: kernels may still be compiled
TOKENS = 4


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
    """A real completion, asked on the head itself; see node/completion.py."""
    vllm = run.session.inventory.vllm
    return run.session.ask(
        run.session.inventory.head,
        "completion.ask",
        {"base": api_base(vllm.host, vllm.port), "tokens": TOKENS, "timeout": FIRST_COMPLETION},
        timeout=FIRST_COMPLETION + 30,
        mutates=False,
        title="asking for a completion",
    )


def api_base(host: str, port: int) -> str:
    """The API's address for a client on the head itself."""
    address = "127.0.0.1" if host in ("0.0.0.0", "", "::") else host
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


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
