"""What vLLM's log says of a start: stages in order, progress within one, and fatal lines.

Milestones and fatal lines: vLLM 0.17 to 0.33's log.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

TAIL_LINES = 60  # shown to the user
KEPT_LINES = 20_000
KEPT_KEYS = 4096

# In the order in which vLLM passes them; each pattern opens its stage.
STAGES: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "starting the API server",
        re.compile(r"\(APIServer pid=|vLLM API server version|api_server\.py"),
    ),
    ("starting the engine", re.compile(r"Initializing a V1 LLM engine")),
    ("joining the ranks", re.compile(r"world_size=\d+ rank=\d+")),
    ("loading the model", re.compile(r"Starting to load model|Loading safetensors checkpoint")),
    ("preparing the model", re.compile(r"Loading weights took")),
    (
        "compiling",
        re.compile(
            r"Model loading took|torch\.compile takes|Dynamo bytecode"
            r"|Warming up model for the compilation"  # the CPU build's
        ),
    ),
    ("sizing the KV cache", re.compile(r"torch\.compile took|Available KV cache memory:")),
    ("warming up", re.compile(r"[GC]PU KV cache size:|Capturing CUDA graphs")),
    ("opening the API", re.compile(r"init engine \(.*took|Starting vLLM server on")),
    ("ready", re.compile(r"Application startup complete\.")),
)
JOINED = next(i for i, (title, _) in enumerate(STAGES) if title == "joining the ranks")
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
# No cause: the line that says "see above", what Ray wraps around the first one, and what ends
# after it.
SECONDARY = re.compile(
    r"Engine core initialization failed|See root cause above|RayTaskError|ActorHandleNotFoundError"
)
# What may differ in a line that says the same again: numbers and identities, but not a progress
# bar's percentage or count.
VARYING = re.compile(r"(\d+(?:\.\d+)?%|\b\d+/\d+\b)|\b[0-9a-f]{8,}\b|\d+")


@dataclass
class Progress:
    """The state of a start, fed with the log as it grows.

    `lines` are the log's last, `news` counts those that said something new.
    """

    stage: int = -1
    percent: int | None = None
    fatal: str | None = None
    cause: str | None = None
    news: int = 0
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    _said: dict[str, None] = field(default_factory=dict)  # the one not said for longest is first
    _partial: str = ""

    @property
    def title(self) -> str:
        """The stage's name."""
        return STAGES[self.stage][0] if self.stage >= 0 else "starting"

    @property
    def ready(self) -> bool:
        """Whether the API says that it is up (a real completion is still to come)."""
        return self.stage == len(STAGES) - 1

    @property
    def joined(self) -> bool:
        """Whether the ranks have joined, and so have their nodes."""
        return self.stage >= JOINED

    def feed(self, text: str) -> bool:
        """Take more of the log, cut anywhere; True when stage or percentage moved on."""
        before = (self.stage, self.percent)
        *lines, self._partial = re.split(r"[\r\n]", self._partial + text)
        for line in lines:
            self._line(ANSI.sub("", line).rstrip())
        return (self.stage, self.percent) != before

    def _line(self, line: str) -> None:
        if not line:
            return
        self.lines.append(line)
        self._weigh(line)
        for index in range(len(STAGES) - 1, self.stage, -1):
            if STAGES[index][1].search(line):
                self.stage, self.percent = index, None
                if self.ready:
                    self.cause = self.fatal = None  # what did not hinder the start
                break
        if shards := SHARDS.search(line):
            self.percent = int(shards[1])
        if self.cause is None and (error := ERROR.search(line)) and is_cause(line):
            self.cause = error[1]
        if self.fatal is None and FATAL.search(line):
            self.fatal = line

    def _weigh(self, line: str) -> None:
        """Count a line that was not said before: a rank that hangs lets others repeat theirs."""
        key = VARYING.sub(lambda varying: varying[1] or "", line)
        if key in self._said:
            del self._said[key]
        else:
            self.news += 1
        self._said[key] = None
        if len(self._said) > KEPT_KEYS:
            del self._said[next(iter(self._said))]

    @property
    def tail(self) -> list[str]:
        """The last lines, as many as a user reads."""
        return list(self.lines)[-TAIL_LINES:]

    @property
    def verdict(self) -> str | None:
        """The cause of a failed start: the first error, else the fatal line, else None."""
        return self.cause or self.fatal


def is_cause(line: str) -> bool:
    """Whether an error in this line may be what a start failed of: no warning that quotes one,
    and nothing that points at one or comes after it."""
    return not (QUIET.search(line) or SECONDARY.search(line))
