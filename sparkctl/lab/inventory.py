"""The inventory that the lab writes for the other commands."""

from __future__ import annotations

import json
from pathlib import Path

from sparkctl.lab.containers import tools
from sparkctl.lab.spec import NodeSpec, imitated

MODEL_NAME = "MiniMax-M2-mini"
CACHE = Path("/var/cache/sparkctl-lab")  # on the nodes; outlives the lab
HEADS = 4  # the model's attention heads, which tensor parallelism divides


def tensor_parallel_size(count: int) -> int:
    """The largest number of ranks, at most one per node, that divides the model's heads."""
    return max(size for size in (1, 2, HEADS) if size <= count)


def text(
    nodes: list[NodeSpec], *, base: Path, runtime: Path, containers: tuple[str, ...] = ()
) -> str:
    """The inventory of these nodes as YAML."""
    listed = "".join(
        f"  - {{name: {n.name}, host: {n.address}, role: {'worker' if i else 'head'}}}\n"
        for i, n in enumerate(nodes)
    )
    named = [*imitated(nodes[0].hardware), *tools.imitated(containers)]
    what = "".join(f'  - "{each}"\n' for each in named)
    return f"""\
# Imitated Sparks: written by `sparkctl lab up`, removed by `sparkctl lab down`.
cluster: lab
ssh:
  user: root
  identity_file: {_quoted(base / "client_key")}
  known_hosts: {_quoted(base / "known_hosts")}
nodes:
{listed}runtime:
  venv: {_quoted(runtime)}
env:
  set: # vLLM's CPU build on a small machine
    VLLM_CPU_KVCACHE_SPACE: "1"
    VLLM_CPU_OMP_THREADS_BIND: nobind
    OMP_NUM_THREADS: "1"
    HF_HUB_OFFLINE: "1"
    VLLM_USE_AOT_COMPILE: "0" # a CPU cannot load its cache
    # Compiled code is kept when the lab is removed; each node has its own.
    VLLM_CACHE_ROOT: {CACHE}/${{NODE}}
    TORCHINDUCTOR_CACHE_DIR: {CACHE}/${{NODE}}/inductor
ray:
  num_gpus: 1 # logical: Ray has none to detect
  object_store_memory: 200000000
  start_timeout: 180
vllm:
  model: {_quoted(base / "model")}
  served_model_name: {MODEL_NAME}
  tensor_parallel_size: {tensor_parallel_size(len(nodes))} # at most {HEADS}: its heads
  stall_timeout: 600
  arguments: # the recipe's other flags stay, parsers and compilation config included
    gpu-memory-utilization: 0.2 # a CPU only checks each rank's free memory against it
    attention-backend: null # a CPU has its own
    max-model-len: 2048
imitated:
{what}"""


def _quoted(path: Path) -> str:
    """A path as a double-quoted YAML scalar, whose escapes are JSON's."""
    return json.dumps(str(path))
