"""How well an error of vLLM's log explains a failure: as a cause, or only as what follows; pure."""

from __future__ import annotations

import re
from enum import IntEnum

from sparkctl.engines.vllm.failures import MONITOR, VLLM, explain
from sparkctl.engines.vllm.stages import FATAL


class Level(IntEnum):
    """How well an error explains a failure; the first of the least level is the root."""

    CAUSE = 0
    VAGUE = 1  # quoted in another message, or without its reason
    DEATH = 2  # of a process that printed nothing
    REACTION = 3  # to another process's failure
    FATAL = 4  # that it failed, not why
    REQUEST = 5  # of one request, once vLLM is ready


# No cause: what points at one, Ray's wrapper of one and its cleaning up, and an ordinary end.
POINTER = re.compile(
    r"Engine core initialization failed|[Rr]oot cause above|[Ss]tack trace|EngineDeadError"
    r"|RuntimeError: Executor failed\.|ActorHandleNotFoundError|EngineGenerateError"
    r"|^(?:\w+\.)*(?:RayTaskError|SystemExit|CancelledError|GeneratorExit)\b"
)
QUOTED = re.compile(r"Worker failed with error ['\"](.+)['\"], please check")
DEATH = re.compile(
    r"A worker died or was killed|died unexpectedly|[Aa]ctor (?:is dead|died)|\bActorDiedError"
    r"|ActorUnavailableError|WorkerCrashedError|NodeDiedError|exit[ _]?code\b\W{0,3}-\d+"
)
REACTION = re.compile(
    r"(?i)remote process exit|closed by (?:remote )?peer|reset by peer|broken ?pipe|peer closed"
    r"|ncclRemoteError|RPC call to \w+ timed out|timed out (?:after|waiting)|socket has timed out"
    r"|connection (?:refused|closed|aborted|was closed)|SIGTERM|shutting down|ConnectionResetError"
    r"|^(?:KeyboardInterrupt|EOFError|TimeoutError$)"
)
NATIVE = re.compile(
    r"Segmentation fault|\bSIG(?:SEGV|ABRT|BUS|ILL|KILL)\b|double free or corruption"
    r"|\bfree\(\): |\bmalloc\(\): |Fatal Python error|terminate called after|symbol lookup error"
    r"|\(core dumped\)|^Killed$|^Aborted$|^Bus error|^Illegal instruction|Out of memory: Killed"
)
# What the raylet says of a process that ended, after the ids of its lease.
LOST = re.compile(
    r"Worker IP address: (\S+) .*Worker PID: (\d+) Worker exit type: (\w+) "
    r"Worker exit detail: ([^.]*\.(?: End of file\.)?)"
)
# The reason is in NCCL's own lines, if at all.
VAGUE = re.compile(r"NCCL error: (?:unhandled system|internal|remote)")
VERSIONS = re.compile(r"Version mismatch")  # Ray's, which may be a warning


def points(text: str) -> bool:
    """Whether an error is none itself, but points at one, wraps one, or cleans up after one."""
    return POINTER.search(text) is not None and QUOTED.search(text) is None


def loud(text: str) -> bool:
    """Whether a warning is an error all the same."""
    return VERSIONS.search(text) is not None


def bare(text: str) -> bool:
    """Whether a line without the form of an exception is an error."""
    return any(p.search(text) for p in (MONITOR, DEATH, NATIVE, VERSIONS))


def worded(text: str) -> tuple[str, str]:
    """The error that a text quotes, and the process that it names; else the text, and ""."""
    if quoted := QUOTED.search(text):
        return quoted[1], ""
    if lost := LOST.search(text):
        return f"A worker died or was killed: {lost[3]}: {lost[4]}", f"pid={lost[2]}, ip={lost[1]}"
    return text, ""


def level(text: str, *, vague: bool) -> Level:
    """The level of an error of a process that failed; `vague`: another message quotes it."""
    if MONITOR.search(text):
        return Level.CAUSE
    if DEATH.search(text):
        return Level.DEATH
    if REACTION.search(text):
        return Level.REACTION
    if vague or VAGUE.search(text):
        return Level.VAGUE
    if FATAL.search(text) and not explain([text], VLLM):
        return Level.FATAL
    return Level.CAUSE
