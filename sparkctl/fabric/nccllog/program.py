"""NCCL's errors as the program around it (torch, vLLM) prints them; pure."""

from __future__ import annotations

import re

from sparkctl.fabric.nccllog.lines import COLOUR, TEXT_LIMIT, shown

INVALID_USAGE, ROOT_LOST = "nccl-invalid-usage", "root-lost"
# The words of ncclGetErrorString (NCCL's src/init.cc) by the code of a finding on them.
WORDS = {
    "nccl-cuda-error": "unhandled cuda error",
    "nccl-system-error": "unhandled system error",
    "nccl-internal-error": "internal error",
    "nccl-invalid-argument": "invalid argument",
    INVALID_USAGE: "invalid usage",
    "nccl-remote-exited": "remote process exited",
}
CODES = {words: code for code, words in WORDS.items()}
# torch's `NCCL error in: FILE:LINE, …` and vLLM's `NCCL error: …`; torch adds a line that begins
# with the name.
RESULT = re.compile(rf"NCCL error\b.{{0,400}}?\b(?P<words>{'|'.join(CODES)})|ncclInvalidUsage\b")
# torch's ProcessGroupNCCL.cpp, on a rank that waits for another to open NCCL.
WAITED = re.compile(r"\[[0-9]+\] is setting up NCCL communicator and retrieving ncclUniqueId")


# vLLM's lines when it starts, and its progress bar and message when it captures CUDA graphs
# (vllm/v1/worker/gpu_model_runner.py, vllm/entrypoints, vllm/v1/engine/core.py).
BEGINS = (b"non-default args", b"Initializing a V1 LLM engine", b"vLLM API server version")
GRAPHS = (b"Capturing CUDA graph", b"Graph capturing finished")
NOTED = re.compile(b"|".join(map(re.escape, (*BEGINS, *GRAPHS))))


def error(line: str) -> tuple[str, str] | None:
    """The code of the error that a line reports, and its text; None for any other line."""
    line = COLOUR.sub("", line)
    if waited := WAITED.search(line):
        return ROOT_LOST, shown(line[waited.start() :][:TEXT_LIMIT])
    if result := RESULT.search(line):
        code = CODES.get(result["words"], INVALID_USAGE)
        return code, shown(line[result.start() :][:TEXT_LIMIT])
    return None
