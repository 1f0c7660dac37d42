"""Known failures of a start, told by what Ray or vLLM printed; pure."""

from __future__ import annotations

import re

# (pattern, cause, remedy): seen with Ray 2.60 and vLLM 0.33, reports of DGX Spark users.
RAY: tuple[tuple[str, str], ...] = (
    (r"Version mismatch", "install the same Ray and Python, to the patch level, on every node"),
    (r"Address already in use|port \d+ .*(?:in use|occupied)", "the port is taken: set ray.port"),
    (r"(?i)unable to connect to GCS|Failed to (?:get|connect to) .*(?:GCS|cluster)",
     "the head's port is not reached over the fabric: a firewall, or the wrong address"),
    (r"(?i)authentication|unauthenticated|invalid token",
     "the head runs with another token: `sparkctl down`, then `up`"),
)  # fmt: skip
VLLM: tuple[tuple[str, str], ...] = (
    (r"Free memory on device .* less than desired",
     "drop the page cache, or lower vllm.arguments gpu-memory-utilization"),
    (r"No available memory for the cache blocks",
     "raise gpu-memory-utilization or lower max-model-len"),
    (r"To serve at least one request|max seq len|max_model_len",
     "lower vllm.arguments max-model-len, or raise gpu-memory-utilization"),
    (r"error: (?:unrecognized|argument|the following)", "correct vllm.arguments in the inventory"),
    (r"[Aa]ddress already in use", "set vllm.port to a free port"),
    (r"No such file|not a valid model|does not appear to have a file|[Rr]epo id",
     "check vllm.model: the checkpoint's path, the same on every node"),
    (r"placement group|ray\.util\.placement", "Ray has too few free GPUs: `sparkctl status`"),
    (r"undefined symbol", "torch and vllm do not match in the runtime: reinstall both together"),
    (r"Unable to find address for", "NCCL/GLOO_SOCKET_IFNAME names no interface of that node"),
    (r"ibv_reg_mr|Cannot allocate memory", "memlock limit or a KHO kernel: `sparkctl doctor`"),
)  # fmt: skip


def explain_ray(tail: list[str], status: int | None, timeout: float) -> tuple[str, str | None]:
    """What `ray start` died of, and the remedy, from the last lines that it printed."""
    lines = [line.strip() for line in tail if line.strip()]
    if status is None:
        return f"`ray start` did not end within {timeout:g} s", "see the log below"
    telling = [x for x in lines if re.search(r"Error|mismatch|[Ff]ailed|refused|in use", x)]
    said = (telling or lines or ["nothing printed"])[-1]
    return f"`ray start` ended with status {status}: {said}", remedy(lines, RAY)


def remedy(lines: list[str], table: tuple[tuple[str, str], ...]) -> str | None:
    """The remedy of the first known pattern in these lines."""
    text = "\n".join(lines)
    return next((cure for pattern, cure in table if re.search(pattern, text)), None)
