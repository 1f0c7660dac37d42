"""The inventory that the lab writes; the other commands take it as any other."""

from __future__ import annotations

from pathlib import Path

from sparkctl.lab.spec import IMITATED, NodeSpec

MODEL_NAME = "MiniMax-M2-mini"


def text(nodes: list[NodeSpec], *, base: Path, runtime: Path) -> str:
    """The YAML text for these nodes."""
    listed = "".join(
        f"  - {{name: {n.name}, host: {n.address}, role: {'worker' if i else 'head'}}}\n"
        for i, n in enumerate(nodes)
    )
    imitated = "".join(f'  - "{what}"\n' for what in IMITATED)
    return f"""\
# Written by `sparkctl lab up`, removed by `sparkctl lab down`.
cluster: lab
ssh:
  user: root
  identity_file: {base}/client_key
  known_hosts: {base}/known_hosts
nodes:
{listed}runtime:
  venv: {runtime}
env:
  set: # vLLM's CPU build on a small machine
    VLLM_CPU_KVCACHE_SPACE: "1"
    VLLM_CPU_OMP_THREADS_BIND: nobind
    OMP_NUM_THREADS: "1"
    HF_HUB_OFFLINE: "1"
    VLLM_USE_AOT_COMPILE: "0" # its cache does not load again on a CPU
    # What was compiled outlives the lab, each node's by itself.
    VLLM_CACHE_ROOT: /var/cache/sparkctl-lab/${{NODE}}
    TORCHINDUCTOR_CACHE_DIR: /var/cache/sparkctl-lab/${{NODE}}/inductor
ray:
  num_gpus: 1 # logical: there is none to be detected
  object_store_memory: 200000000
  start_timeout: 180
vllm:
  model: {base}/model
  served_model_name: {MODEL_NAME}
  tensor_parallel_size: {len(nodes)}
  stall_timeout: 600
  arguments: # the recipe's other flags, parsers and compilation config are kept
    gpu-memory-utilization: 0.2 # on a CPU only a check of free memory, for each rank
    attention-backend: null # the CPU has its own
    max-model-len: 2048
imitated:
{imitated}"""
