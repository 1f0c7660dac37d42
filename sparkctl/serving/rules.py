"""What is allowed and yet most likely a mistake on GB10; pure."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from sparkctl.serving.recipe import MINIMAX_M2, Choice
from sparkctl.serving.secretarguments import readable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.inventory.models import Argument, Inventory

# Variables that nothing reads any more (vLLM 0.14 to 0.33, compared), and what does it now.
GONE = {
    "VLLM_NVFP4_GEMM_BACKEND": "vLLM from 0.24 ignores it; set vllm.arguments linear-backend, such"
    " as flashinfer_cutlass",
    "VLLM_USE_FLASHINFER_MOE_FP4": "vLLM from 0.24 ignores it; set vllm.arguments moe-backend,"
    " where cutlass is nearest to 0",
    "VLLM_ATTENTION_BACKEND": "vLLM from 0.15 ignores it; set vllm.arguments attention-backend",
    "SAFETENSORS_FAST_GPU": "neither vLLM nor safetensors reads it; leave it out",
}
NUMBER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|\d+)")


def warnings(inventory: Inventory, environment: Mapping[str, str], recipe: Choice) -> list[str]:
    """One line for each doubtful setting: where it is, what it does, what to do instead.

    What depends on the model's architecture is left out where `recipe` does not know it.
    """
    return [*_variables(environment), *_arguments(inventory, recipe), *_readable(inventory)]


def _readable(inventory: Inventory) -> Iterator[str]:
    for name in readable(inventory.vllm.arguments):
        yield (
            f"vllm.arguments.{name}: holds a secret that every user of the head can read in vLLM's"
            " command line; use a file or an environment variable if vLLM has one for it"
        )


def _variables(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if name == "VLLM_USE_RAY_V2_EXECUTOR_BACKEND" and value == "0":
            yield (
                f"{name}: vLLM's older Ray executor overwrites each worker's NCCL_, UCX_ and VLLM_"
                " variables with the head's; leave it out"
            )
        elif name in GONE:
            yield f"{name}: {GONE[name]}"
        elif name in ("NCCL_IB_DISABLE", "NCCL_IB_GID_INDEX") and not NUMBER.fullmatch(value):
            # C strtoll (NCCL's src/misc/param.cc).
            yield f"{name}: NCCL reads {value!r} as 0; write a number or leave it out"
        elif name == "NCCL_IB_GID_INDEX":
            yield (
                f"{name}: {value} is used for every HCA, and indexes move on a link flap; leave it"
                " out, NCCL finds the RoCE v2 entry by itself"
            )
        elif name == "NCCL_IB_DISABLE" and int(value, 0 if "x" in value.lower() else 10):
            yield f"{name}: {value} turns RDMA off, NCCL falls back to TCP; set it to 0"
        elif name in ("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME") and re.search(r"[\^=,]", value):
            yield f"{name}: {value!r} has to be one literal interface; use ${{SOCKET_INTERFACE}}"


def _arguments(inventory: Inventory, recipe: Choice) -> Iterator[str]:
    arguments = {**recipe.defaults, **inventory.vllm.arguments}
    where = "vllm.arguments."
    backend = arguments.get("distributed-executor-backend")
    if backend != "ray" and len(inventory.nodes) > 1:
        name = f"{where}distributed-executor-backend"
        yield f"{name}: {backend or 'without it'}, vLLM does not use Ray's other nodes; set ray"
    if arguments.get("enable-expert-parallel"):
        yield f"{where}enable-expert-parallel: known to break on GB10; drop it"
    config = _mapping(arguments.get("compilation-config"))
    if isinstance(config, dict) and "level" in config:
        # vLLM 0.14 to 0.33, compared.
        yield f"{where}compilation-config: vLLM refuses the key level; it is called mode now"
    if arguments.get("enforce-eager") or not recipe.fits(MINIMAX_M2):
        return
    mode = config.get("cudagraph_mode") if isinstance(config, dict) else None
    if not isinstance(config, str) and (mode is None or str(mode).lower() != "none"):
        # run on vLLM 0.32.
        yield (
            f"{where}compilation-config: MiniMax MoE deadlocks on GB10 with CUDA graphs; set"
            " cudagraph_mode to none"
        )


def _mapping(value: Argument) -> Argument:
    """A mapping that is written as JSON, as on vLLM's own command line, is one."""
    if isinstance(value, str):
        with suppress(ValueError):
            read = json.loads(value)
            return read if isinstance(read, dict) else value
    return value
