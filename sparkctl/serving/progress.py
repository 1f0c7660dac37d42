"""How far vLLM's log shows a start: the stage, the progress within it, and fatal lines.

Milestones and fatal lines: vLLM 0.17 to 0.33's log.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

TAIL_LINES = 60  # shown to the user
KEPT_LINES = 20_000
KEPT_KEYS = 4096


class Stage(NamedTuple):
    """A part of a start: a stable id, a title for people, and what vLLM logs when it begins."""

    id: str
    title: str
    begins: re.Pattern[str]


API_SERVER = re.compile(r"\(APIServer pid=|vLLM API server version|api_server\.py")
COMPILING = re.compile(
    r"Model loading took|torch\.compile takes|Dynamo bytecode"
    r"|Warming up model for the compilation"  # the CPU build's
)
KV_CACHE = re.compile(r"torch\.compile took|Available KV cache memory:")
WARM_UP = re.compile(r"[GC]PU KV cache size:|Capturing CUDA graphs")
LOADING = re.compile(r"Starting to load model|Loading safetensors checkpoint")
SERVER = re.compile(r"init engine \(.*took|Starting vLLM server on")
# In the order in which vLLM passes them.
STAGES = (
    Stage("api-server", "starting the API server", API_SERVER),
    Stage("engine", "starting the engine", re.compile(r"Initializing a V1 LLM engine")),
    Stage("ranks", "joining the ranks", re.compile(r"world_size=\d+ rank=\d+")),
    Stage("loading", "loading the model", LOADING),
    Stage("preparing", "preparing the model", re.compile(r"Loading weights took")),
    Stage("compiling", "compiling", COMPILING),
    Stage("kv-cache", "sizing the KV cache", KV_CACHE),
    Stage("warm-up", "warming up", WARM_UP),
    Stage("api", "opening the API", SERVER),
    Stage("ready", "ready", re.compile(r"Application startup complete\.")),
)
JOINED = [stage.id for stage in STAGES].index("ranks")
FATAL = re.compile(
    r"EngineCore failed to start\.|EngineCore encountered a fatal error\."
    r"|Engine core initialization failed\.|Free memory on device .* is less than desired"
    r"|No available memory for the cache blocks\.|To serve at least one request with the model"
    r"|RayWorkerProc rank=\d+ died unexpectedly"
)
SHARDS = re.compile(r"Loading safetensors checkpoint shards:\s+(\d+)% Completed \| (\d+)/(\d+)")
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
ERROR = re.compile(r"\b((?:[A-Za-z_.]*(?:Error|Exception)): \S.*|(?:api_server|vllm).*: error: .+)")
# The levels of vLLM, Ray, NCCL and uvicorn below an error; not the INFO of `NCCL_DEBUG=INFO`.
QUIET = re.compile(r"(?<!=)\b(?:DEBUG|INFO|WARNING)\b")
# No cause: the line that points at one above, what Ray wraps around it, and what follows from it.
SECONDARY = re.compile(
    r"Engine core initialization failed|See root cause above|RayTaskError|ActorHandleNotFoundError"
)
# What varies in a line that is repeated: numbers and identifiers, but not a progress bar's
# percentage or count.
VARYING = re.compile(r"(\d+(?:\.\d+)?%|\b\d+/\d+\b)|\b[0-9a-f]{8,}\b|\d+")


@dataclass
class Progress:
    """The state of a start, fed with the log as it grows.

    `lines` are the log's last ones; `news` counts the lines that repeat no earlier one.
    """

    stage: int = -1
    percent: int | None = None
    fatal: str | None = None
    cause: str | None = None
    news: int = 0
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    _known: dict[str, None] = field(default_factory=dict)  # least recently repeated first
    _partial: str = ""

    @property
    def stage_id(self) -> str:
        """The stage's id, `starting` before the first one."""
        return STAGES[self.stage].id if self.stage >= 0 else "starting"

    @property
    def title(self) -> str:
        """The stage's title, for people."""
        return STAGES[self.stage].title if self.stage >= 0 else "starting"

    @property
    def ready(self) -> bool:
        """Whether the API reports that it is up; a completion may still fail."""
        return self.stage == len(STAGES) - 1

    @property
    def joined(self) -> bool:
        """Whether the ranks have joined, and so have their nodes."""
        return self.stage >= JOINED

    def feed(self, text: str) -> bool:
        """Take more of the log, cut anywhere; True when the stage or percentage changed."""
        before = (self.stage, self.percent)
        *lines, self._partial = re.split(r"[\r\n]", self._partial + text)
        for line in lines:
            self._line(ANSI.sub("", line).rstrip())
        return (self.stage, self.percent) != before

    def _line(self, line: str) -> None:
        if not line:
            return
        self.lines.append(line)
        self._count(line)
        for index in range(len(STAGES) - 1, self.stage, -1):
            if STAGES[index].begins.search(line):
                self.stage, self.percent = index, None
                if self.ready:
                    self.cause = self.fatal = None  # they did not stop the start
                break
        if shards := SHARDS.search(line):
            self.percent = int(shards[1])
        if self.cause is None and (error := ERROR.search(line)) and is_cause(line):
            self.cause = error[1]
        if self.fatal is None and FATAL.search(line):
            self.fatal = line

    def _count(self, line: str) -> None:
        """Count a line unless it repeats one: while a rank hangs, the others repeat theirs."""
        key = VARYING.sub(lambda varying: varying[1] or "", line)
        if key in self._known:
            del self._known[key]
        else:
            self.news += 1
        self._known[key] = None
        if len(self._known) > KEPT_KEYS:
            del self._known[next(iter(self._known))]

    @property
    def tail(self) -> list[str]:
        """The last lines, as many as a user reads."""
        return list(self.lines)[-TAIL_LINES:]

    @property
    def verdict(self) -> str | None:
        """The cause of a failed start: the first error, else the fatal line, else None."""
        return self.cause or self.fatal


def is_cause(line: str) -> bool:
    """Whether an error in this line may have failed a start: the line neither quotes an error in a
    warning, nor points at one, nor follows from one."""
    return not (QUIET.search(line) or SECONDARY.search(line))
