"""vLLM's arguments for MiniMax-M2 on GB10; each can be changed or dropped in vllm.arguments."""

from __future__ import annotations

from sparkctl.inventory.models import Argument

# Flags that have a field of their own in the inventory; vllm.arguments may not repeat them.
FIELDS: dict[str, str] = {
    "model": "vllm.model",
    "host": "vllm.host",
    "port": "vllm.port",
    "served-model-name": "vllm.served_model_name",
    "tensor-parallel-size": "vllm.tensor_parallel_size",
}

ARGUMENTS: dict[str, Argument] = {
    "distributed-executor-backend": "ray",
    # 0.92 is vLLM's default, too much for memory that the CPU shares (vLLM 0.14 to 0.33, compared).
    "gpu-memory-utilization": 0.85,
    "max-model-len": 196608,
    "kv-cache-dtype": "fp8_e4m3",
    "attention-backend": "flashinfer",
    "enable-prefix-caching": True,
    "enable-chunked-prefill": True,
    "max-num-seqs": 64,
    "max-num-batched-tokens": 8192,
    "trust-remote-code": True,
    "enable-auto-tool-choice": True,
    "tool-call-parser": "minimax_m2",
    "reasoning-parser": "minimax_m2_append_think",
    # The default, FULL_AND_PIECEWISE, deadlocks MiniMax MoE on GB10; both combo flags must be
    # given, vLLM sets them when both are absent (run on vLLM 0.32).
    "compilation-config": {
        "cudagraph_mode": "none",
        "inductor_compile_config": {
            "combo_kernels": False,
            "benchmark_combo_kernel": False,
            "max_autotune": False,
            "max_autotune_gemm": False,
        },
    },
}
