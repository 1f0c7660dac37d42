"""Known failures of Ray and vLLM: the lines that show them, a code and a remedy for each; pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.engines.explanation import Explanation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkctl.engines.explanation import Table

# Ray's memory monitor killed a process, which prints nothing itself.
MONITOR = re.compile(
    r"running low on memory|killed due to memory pressure|ray\.exceptions\.OutOfMemoryError"
)
# Seen with Ray 2.60 and vLLM 0.33, and in reports of DGX Spark users.
RAY: Table = (
    (r"Version mismatch", "ray-versions-differ"),
    (r"Address already in use|port \d+ .*(?:in use|occupied)", "ray-port-in-use"),
    (
        r"(?i)unable to connect to GCS|Failed to (?:get|connect to) .*(?:GCS|cluster)",
        "ray-head-unreachable",
    ),
    (r"(?i)authentication|unauthenticated|invalid token", "ray-token-refused"),
)
VLLM: Table = (
    (r"Free memory on device .* less than", "memory-in-use"),
    (r"No available memory for the cache blocks", "no-kv-cache-memory"),
    (r"To serve at least one request|model's max seq len \(", "kv-cache-too-small"),
    (r"max_model_len \(\d+\) is greater than", "max-model-len"),
    (r"CUDA out of memory", "cuda-out-of-memory"),
    (MONITOR.pattern, "ray-memory-monitor"),
    (r"error: (?:unrecognized|argument|the following)", "vllm-arguments"),
    # torch's rendezvous; the API's port fails in other words.
    (r"EADDRINUSE|server socket has failed to listen", "torch-port-in-use"),
    (r"[Aa]ddress already in use", "api-port-in-use"),
    # With RemoveIPC=yes logind removes them at a session's end (logind.conf(5)).
    (r"No such file or directory: '?/(?:psm_|dev/shm/)", "shared-memory-removed"),
    (r"SafetensorError|weights were not initialized from checkpoint", "broken-weights"),
    (
        r"No such file.*\.(?:safetensors|bin|json|jinja|model)\b|not a valid model"
        r"|does not appear to have a file|Repo id must|Invalid repository ID",
        "model-not-found",
    ),
    (r"Permission denied", "permission-denied"),
    (r"No space left on device", "disk-full"),
    (r"Cannot provide a placement group|available \w+ in the placement group", "too-few-gpus"),
    (r"undefined symbol", "torch-mismatch"),
    (
        r"no kernel image|device kernel image is invalid|[Ii]llegal instruction",
        "kernel-for-other-gpu",
    ),
    (r"Unable to find address for", "unknown-interface"),
    (r"unique IP address", "duplicate-host-ip"),
    (r"ibv_reg_mr|ibv_.*Cannot allocate memory", "memory-registration"),
    (r"RPC call to \w+ timed out|caught collective operation timeout", "rank-hangs"),
    (r"waiting for engine core processes to start", "engine-ready-timeout"),
    (r"gated repo|GatedRepoError|Access to model \S+ is restricted", "model-gated"),
    (r"No module named", "module-missing"),
    (r"cannot open shared object file", "library-missing"),
    (r"validation errors? for \w*(?:Config|Args)\b", "vllm-arguments"),
)
# A process that ended without an exception. Ray lists what may have killed it: no cause.
CRASH: Table = (
    (r"Out of memory: Killed|^Killed$|exit[ _]?code\b\W{0,3}-9\b|\bSIGKILL\b", "rank-killed"),
    (
        r"A worker died or was killed|died unexpectedly|[Aa]ctor (?:is dead|died)|ActorDiedError"
        r"|ActorUnavailableError|WorkerCrashedError|NodeDiedError",
        "rank-died",
    ),
    (
        r"Segmentation fault|\bSIG(?:SEGV|ABRT|BUS|ILL)\b|double free or corruption|\bfree\(\): "
        r"|\bmalloc\(\): |Fatal Python error|terminate called after|\(core dumped\)|^Aborted$"
        r"|^Bus error|^Illegal instruction|exit[ _]?code\b\W{0,3}-\d+",
        "native-crash",
    ),
    (r"CUDA error:", "cuda-error"),
)
# What a start repeats while it waits in vain; vLLM logs it at level INFO.
WAITING: Table = (
    (r"No available shared memory broadcast block", "rank-stalls"),
    (r"Waiting for creating a placement group", "too-few-gpus"),
)
# NCCL failed for a reason that it does not print without NCCL_DEBUG.
NCCL: Table = (
    (r"NCCL error.*invalid usage|ncclInvalidUsage", "nccl-invalid-usage"),
    (r"NCCL error|nccl(?:System|Internal|Remote|UnhandledCuda)Error", "nccl-error"),
)

KERNEL = "`sudo dmesg -T` on its node shows the OOM killer and the GPU's errors (NVRM, Xid)"
HANGS = (
    "a rank hangs or died: run `sparkctl up --keep`, then `sparkctl doctor` and"
    " `py-spy dump --pid` of the rank on each node; NCCL_DEBUG: INFO in env.set shows what NCCL"
    " waits for"
)
REMEDIES = {
    "ray-versions-differ": "install the same Ray and Python, to the patch level, on every node",
    "ray-port-in-use": "set ray.port to a free port",
    "ray-head-unreachable": (
        "the head's port is unreachable over the fabric: check its firewall and its address"
    ),
    "ray-token-refused": (
        "the head runs with another token: run `sparkctl down`, then `sparkctl up`"
    ),
    "memory-in-use": "drop the page cache, or lower {key}.arguments gpu-memory-utilization",
    "no-kv-cache-memory": "raise {key}.arguments gpu-memory-utilization, or lower max-model-len",
    "kv-cache-too-small": "lower {key}.arguments max-model-len, or raise gpu-memory-utilization",
    "max-model-len": "lower {key}.arguments max-model-len",
    "cuda-out-of-memory": (
        "lower {key}.arguments gpu-memory-utilization: programs on the CPU use the same memory"
    ),
    "ray-memory-monitor": (
        "Ray's memory monitor killed it: leave RAY_memory_monitor_refresh_ms at 0, the built-in"
        " value, in every env layer, or lower {key}.arguments gpu-memory-utilization"
    ),
    "vllm-arguments": "correct {key}.arguments in the inventory",
    "torch-port-in-use": (
        "a port that torch chose is in use: remove MASTER_PORT and VLLM_PORT from the env layers,"
        " then run `sparkctl up` again"
    ),
    "api-port-in-use": "set {key}.port to a free port",
    "shared-memory-removed": (
        "its shared memory was removed: run `sudo loginctl enable-linger` for the account of"
        " ssh.user on each node"
    ),
    "broken-weights": (
        "weights are missing, truncated or different: copy {key}.model to that node again"
    ),
    "model-not-found": "check {key}.model: the checkpoint needs the same path on every node",
    "permission-denied": (
        "let the account of ssh.user own that path on each node: files that a container wrote, in"
        " the model or ~/.cache, belong to root (`ls -l`, `sudo chown -R`)"
    ),
    "disk-full": (
        "free space on that node, where the model, ~/.cache, /tmp and the logs are: `df -h`"
    ),
    "too-few-gpus": "Ray has too few free GPUs: run `sparkctl status`",
    "torch-mismatch": "torch and vllm in the runtime do not match: reinstall both together",
    "kernel-for-other-gpu": (
        "a kernel was built for another GPU than GB10: set another attention-backend in"
        " {key}.arguments (moe-backend or linear-backend, if the trace names that)"
    ),
    "unknown-interface": (
        "NCCL_SOCKET_IFNAME or GLOO_SOCKET_IFNAME names no interface of that node"
    ),
    "duplicate-host-ip": (
        "VLLM_HOST_IP is the same on two nodes: leave it at ${FABRIC_ADDRESS}, the built-in value"
    ),
    "memory-registration": (
        "the memlock limit is too low or the kernel has KHO: run `sparkctl doctor`"
    ),
    "rank-hangs": HANGS,
    "engine-ready-timeout": (
        "raise VLLM_ENGINE_READY_TIMEOUT_S under env.set: a first start compiles for many minutes"
    ),
    "model-gated": (
        "accept the model's terms on the hub, and set {key}.arguments hf-token to a token of that"
        " account"
    ),
    "rank-stalls": HANGS + "; if all ranks only compile, raise {key}.stall_timeout",
    "module-missing": (
        "install that package in the runtime of every node, or reinstall the runtime there, so that"
        " all nodes have the same packages"
    ),
    "library-missing": (
        "reinstall torch and vllm together in the runtime of every node: a library that they load"
        " is missing"
    ),
    "rank-killed": (
        f"the kernel's OOM killer or another program killed a process: {KERNEL}; lower"
        " {key}.arguments gpu-memory-utilization if memory was short"
    ),
    "rank-died": f"a rank was killed or crashed, and the others end with it: {KERNEL}",
    "native-crash": f"a process crashed in native code: {KERNEL}",
    "cuda-error": f"the GPU reported an error: {KERNEL}; restart the cluster",
    "nccl-invalid-usage": (
        "give NCCL_IB_HCA each node's own devices, or remove it from every env layer:"
        " `sparkctl doctor`"
    ),
    "nccl-error": (
        "run `sparkctl doctor` to check the fabric; set NCCL_DEBUG: INFO under env.set to have the"
        " next `sparkctl up` log the cause"
    ),
}
# A ready engine that hangs, by its log; no error names it.
WEDGED = Explanation(
    "engine-wedged",
    "restart the whole group; before that, `py-spy dump --pid` of the rank on each node shows where"
    " it waits",
)


def explain(lines: Iterable[str], table: Table) -> Explanation | None:
    """The failure of the first line that has a known pattern."""
    found = (code for line in lines for pattern, code in table if re.search(pattern, line))
    code = next(found, None)
    return Explanation(code, REMEDIES[code]) if code else None
