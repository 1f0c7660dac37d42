"""What SGLang logs in the course of a start: its stages, and the lines that end it.

Milestones and fatal lines: the log of rank 0's launcher, SGLang 0.5.23 (run on a CPU; the lines of
CUDA graphs read).
"""

from __future__ import annotations

import re

from sparkctl.engines.vllm.stages import Stage

READY = "The server is fired up and ready to roll!"
# Measured by a user with the recipe's model on two Sparks, SGLang 0.5.12.
WEIGHTS = "MiniMax-M2 on two nodes 5 min"
# In the order in which SGLang passes them.
STAGES = (
    Stage("launcher", "starting the API server", re.compile(r"\bserver_args=")),
    Stage("ranks", "joining the ranks", re.compile(r"Init (?:parallel|torch distributed) begin")),
    Stage("loading", "loading the model", re.compile(r"Load weight begin"), WEIGHTS),
    Stage("kv-cache", "allocating the KV cache", re.compile(r"Load weight end")),
    Stage("preparing", "preparing the model", re.compile(r"Memory pool end")),
    Stage(
        "graphs",
        "capturing CUDA graphs",
        re.compile(r"(?i)Capture [a-z ]*CUDA graph begin|Capturing (?:batches|num tokens)"),
    ),
    Stage("scheduler", "starting the scheduler", re.compile(r"\bmax_total_num_tokens=\d")),
    Stage("warm-up", "warming up", re.compile(r"Uvicorn running on")),
    Stage("ready", "ready", re.compile(re.escape(READY))),
)
PERCENT = re.compile(r"(?:shards|Capturing [^:\r\n]*):\s+(\d+)%")
FATAL = re.compile(
    r"Scheduler hit an exception|Received sigquit from a child|SIGQUIT received"
    r"|^sglang(?: serve)?: error: "  # argparse's, which exits
    r"|ERROR: +\[Errno \d+\] error while attempting to bind"  # uvicorn's; SGLang then hangs
)
