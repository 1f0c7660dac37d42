"""What vLLM logs in the course of a start: its stages, and the lines that end it.

Milestones and fatal lines: vLLM 0.17 to 0.33's log.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Stage(NamedTuple):
    """A part of a start: a stable id, a title for people, and what vLLM logs when it begins.

    `usual`: how long it takes as a rule, for people; empty where no source has a figure.
    """

    id: str
    title: str
    begins: re.Pattern[str]
    usual: str = ""


API_SERVER = re.compile(r"\(APIServer pid=|vLLM API server version|api_server\.py")
COMPILING = re.compile(
    r"Model loading took|torch\.compile takes|Dynamo bytecode"
    r"|Warming up model for the compilation"  # the CPU build's
)
KV_CACHE = re.compile(r"torch\.compile took|Available KV cache memory:")
WARM_UP = re.compile(r"[GC]PU KV cache size:|Capturing CUDA graphs")
LOADING = re.compile(r"Starting to load model|Loading safetensors checkpoint")
SERVER = re.compile(r"init engine \(.*took|Starting vLLM server on")
READY = "Application startup complete."
# Of a Spark: kernels are compiled (JIT) in the profile run and tuned in the warm-up, which together
# take 10 to 40 minutes the first time; later starts find them in ~/.cache (reports of users: a
# "hang" on first boot). The profile run follows "torch.compile took", and Ray holds back the lines
# of its workers that begin the compilation: so all stages from the weights to the warm-up have it.
FIRST_BOOT = "first boot 10 to 40 min"
# In the order in which vLLM passes them.
STAGES = (
    Stage("api-server", "starting the API server", API_SERVER),
    Stage("engine", "starting the engine", re.compile(r"Initializing a V1 LLM engine")),
    Stage("ranks", "joining the ranks", re.compile(r"world_size=\d+ rank=\d+")),
    Stage("loading", "loading the model", LOADING),
    Stage("preparing", "preparing the model", re.compile(r"Loading weights took"), FIRST_BOOT),
    Stage("compiling", "compiling", COMPILING, FIRST_BOOT),
    Stage("kv-cache", "sizing the KV cache", KV_CACHE, FIRST_BOOT),
    Stage("warm-up", "warming up", WARM_UP, FIRST_BOOT),
    Stage("api", "opening the API", SERVER),
    Stage("ready", "ready", re.compile(re.escape(READY))),
)
# Any line that begins a stage after the first, which each line of the API server does.
MILESTONE = re.compile("|".join(stage.begins.pattern for stage in STAGES[1:]))
FATAL = re.compile(
    r"EngineCore failed to start\.|EngineCore encountered a fatal error\."
    r"|Engine core initialization failed\.|Free memory on device .* is less than desired"
    r"|No available memory for the cache blocks\.|To serve at least one request with the model"
    r"|(?:RayWorkerProc rank=|Worker proc |Engine core proc )\S+ died unexpectedly"
    r"|\b(?:api_server|vllm)[\w. -]*: error: "  # argparse's, which exits
)
