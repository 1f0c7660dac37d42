"""Known failures of SGLang: the lines that show them, a code and a remedy for each; pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.engines.explanation import Explanation
from sparkctl.engines.vllm.failures import KERNEL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkctl.engines.explanation import Table

# Seen with SGLang 0.5.23 on a CPU, or in reports of DGX Spark users (0.5.4 to 0.5.12).
SGLANG: Table = (
    (r"error: (?:unrecognized|argument|the following|ambiguous)", "sglang-arguments"),
    (r"memory capacity is unbalanced", "sglang-memory-unbalanced"),
    (r"Not enough memory|[Tt]ry (?:increasing|to increase) --mem-fraction-static", "no-kv-memory"),
    (r"OutOfMemoryError|CUDA out of memory", "sglang-out-of-memory"),
    (r"Errno 98\]|[Aa]ddress already in use|EADDRINUSE", "sglang-port-in-use"),
    (
        r"Repo id must|does not appear to have a file|No such file.*\.(?:safetensors|json)\b"
        r"|not a valid model|Repository Not Found",
        "sglang-model-not-found",
    ),
    (r"gated repo|GatedRepoError|Access to model \S+ is restricted", "sglang-model-gated"),
    (r"SafetensorError", "sglang-broken-weights"),
    (r"No space left on device", "sglang-disk-full"),
    (r"Unable to find address for|[Nn]o such device|unknown interface", "sglang-interface"),
    (r"libibverbs", "no-libibverbs"),
    (
        r"no kernel image|device kernel image is invalid|[Ii]llegal instruction"
        r"|not supported on (?:SM|sm)_?12",
        "sglang-kernel",
    ),
    (r"No module named|cannot open shared object file", "sglang-module"),
    (
        r"Connection (?:reset|closed) by peer|Broken pipe|DistBackendError"
        r"|NCCL error|nccl(?:System|Internal|Remote|UnhandledCuda)Error",
        "sglang-rank-lost",
    ),
    (r"DistStoreError|DistNetworkError|timed out after|Timed out", "sglang-rank-missing"),
    (r"exit code -9|terminated with -9|SIGKILL", "sglang-rank-killed"),
    (r"exit code -\d|terminated with -\d", "sglang-crash"),
)
# What a start repeats, or last says, while it waits in vain.
WAITING: Table = (
    (r"Capture [a-zA-Z ]*CUDA graph begin|Capturing (?:batches|num tokens)", "cuda-graphs-hang"),
    (r"Init (?:parallel|torch distributed) begin", "sglang-rank-missing"),
)
REMEDIES = {
    "sglang-arguments": "correct {key}.arguments in the inventory",
    "sglang-memory-unbalanced": (
        "the nodes' free memory differs, as after a hard stop: end what uses the GPU or reboot that"
        " node, or set SGLANG_ENABLE_TP_MEMORY_INBALANCE_CHECK: 0 under env.set"
    ),
    "no-kv-memory": ("raise mem-fraction-static in {key}.arguments, or lower max-running-requests"),
    "sglang-out-of-memory": (
        "lower mem-fraction-static or chunked-prefill-size in {key}.arguments: programs on"
        " the CPU use the same memory"
    ),
    "sglang-port-in-use": (
        "end what has the port, or set {key}.port to a free one; the ranks also meet at"
        " port 25000 of the head"
    ),
    "sglang-model-not-found": "check {key}.model: it needs the same path on every node",
    "sglang-model-gated": (
        "accept the model's terms on the hub, and set HF_TOKEN under env.set to a token of that"
        " account"
    ),
    "sglang-broken-weights": (
        "weights are truncated or different: copy the model to that node again"
    ),
    "sglang-disk-full": (
        "free space on that node, where the model, ~/.cache, /tmp and the logs are: `df -h`"
    ),
    "sglang-interface": (
        "GLOO_SOCKET_IFNAME or NCCL_SOCKET_IFNAME names no interface of that node: leave both at"
        " ${SOCKET_INTERFACE}, the built-in value"
    ),
    "no-libibverbs": "install libibverbs1 and ibverbs-providers where SGLang runs",
    "sglang-kernel": (
        "a kernel was built for another GPU than GB10: set attention-backend to triton in"
        " {key}.arguments"
    ),
    "sglang-module": "install that package in the runtime of every node, or reinstall the runtime",
    "sglang-rank-lost": (
        "the other rank ended: its log shows why, see `sparkctl logs` of the service on that node"
    ),
    "sglang-rank-missing": (
        "another node's rank has not joined: read its log with `sparkctl logs`, and check whether a"
        " firewall blocks port 25000 of the head"
    ),
    "sglang-rank-killed": (
        f"the kernel's OOM killer or another program killed a process: {KERNEL}; lower"
        " mem-fraction-static in {key}.arguments if memory was short"
    ),
    "sglang-crash": f"a process crashed in native code: {KERNEL}",
    "cuda-graphs-hang": (
        "the capture of CUDA graphs hangs on GB10 with some models: set disable-decode-cuda-graph"
        " and disable-prefill-cuda-graph in {key}.arguments"
    ),
}


def explain(lines: Iterable[str], table: Table) -> Explanation | None:
    """The failure of the first line that has a known pattern."""
    found = (code for line in lines for pattern, code in table if re.search(pattern, line))
    code = next(found, None)
    return Explanation(code, REMEDIES[code]) if code else None
